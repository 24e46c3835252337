/** Every limit and interval of the peer part, with its unit and its reason. */
export const peerLimits = {
  /** Version of all protocols below `/hedgerow/…/1`. */
  version: 1,
  /** Addresses one node tells about itself: what it listens on, on a machine with several interfaces. */
  helloAddresses: 8,
  /** Addresses of other members that are shared on admission: enough to find the site from one node. */
  sharedMembers: 20,
  addressChars: 256,
  /** A connection that has not said a valid hello by then is closed, ms. A join in progress counts as one. */
  strangerMs: 15_000,
  /** How long a hello, a join, a members exchange may take, ms. */
  helloMs: 10_000,
  joinMs: 30_000,
  exchangeMs: 60_000,
  /** Time for a refusal to reach the other side before its connection is closed, ms. */
  partingMs: 200,

  /** Changes of documents are told to a peer this long after the first of them, ms: one message for many. */
  stateDelayMs: 100,
  /** An open document of which a peer has more is pulled only after this, ms: gossip may be bringing it. */
  graceMs: 300,
  /** Documents waiting for their grace; beyond it they are pulled at once. */
  graceDocuments: 10_000,
  /** Bytes of states in one message: below `networkLimits.messageBytes` with room for the frame. */
  pageBytes: 900_000,
  /** Actors of one document in a state: a run of a node that touched it is one. */
  tipsPerState: 4_096,
  /** States in one message, ids in one question. */
  statesPerMessage: 8_192,
  idsPerAsk: 1_024,
  /** Questions of one peer that may wait for their answer. */
  waitingAsks: 16,
  /** Documents in which one peer may differ from us; beyond it the peer is told so and left alone. */
  differences: 1_000_000,
  /** Own states remembered to know what a peer had before a change. */
  rememberedStates: 4_096,

  /** Settled documents are compared again after this, ms, uniformly spread so that peers do not march in step. */
  reconcileMinMs: 30_000,
  reconcileMaxMs: 60_000,
  /** A comparison that takes longer ends the session, ms: a million differences at some 3,000 a second. */
  roundMs: 600_000,

  /** Documents in flight from one peer and in all: 4 MiB journals keep a wire busy, and memory stays bounded. */
  pullsPerPeer: 8,
  pullsInAll: 16,
  /** Pulls that one peer may have open with us. */
  servedPulls: 16,
  /** A peer that takes nothing of what waits for it for this long is disconnected, ms: it holds memory and a snapshot. */
  stallMs: 60_000,
  /** A document is tried this often before it waits for the next reconciliation; first delay, ms. */
  pullAttempts: 5,
  pullBackoffMs: 500,
  /** A pull that takes longer is given up, ms: 64 MiB at 200 kB/s. */
  pullMs: 330_000,
  /** A pull of which nothing comes for this long is given up, ms: another node may have the document too. */
  pullIdleMs: 20_000,
  /** Bytes of one piece of a document in transfer. */
  pieceBytes: 262_144,
  /** Changes in one transfer: as many as a multi-writer document may have (one put each); a journal has fewer. */
  changesPerTransfer: 200_000,

  /** Gossip carries the changes themselves up to this many bytes, else only their tips. */
  gossipInlineBytes: 65_536,
  /** Gossip messages waiting to be stored; more are dropped, reconciliation brings them. */
  gossipWaiting: 1_024,
  gossipWaitingBytes: 16_777_216,
  /** Topics of one site: one per group and one for what has none. */
  gossipTopics: 65,

  /** Documents refused within `refusalWindowMs` after which a peer is disconnected and left alone for the longest pause. */
  refusals: 5,
  refusalWindowMs: 60_000,
  /** Nor is it let in for this long, ms, unless it was started anew. */
  leftAloneMs: 60_000,
  /** A node that keeps being refused is logged once in this time, ms; nodes remembered for that. */
  refusalLogMs: 60_000,
  refusedNodes: 1_000,

  /** Dialling: first and longest pause, ms; dials at once; how long one may take, ms; nodes remembered. */
  dialBackoffMs: 500,
  dialBackoffMaxMs: 60_000,
  dials: 8,
  dialMs: 10_000,
  dialTargets: 1_024,
  /** Nodes to dial beyond these that are not known as members: a node that has just joined, or ids somebody made up. */
  dialStrangers: 64,
  /** A connection that ends sooner, ms, counts as a failed attempt. */
  shortSessionMs: 10_000,
  /** Addresses kept per node. */
  targetAddresses: 16,

  /** What `status` of a stopped node shows is written this often, ms. */
  persistMs: 60_000,
  /** Connected nodes in one site that one node serves. */
  sessions: 1_024,
} as const

/** Names of the protocols. */
export const protocols = {
  hello: '/hedgerow/hello/1',
  join: '/hedgerow/join/1',
  members: '/hedgerow/members/1',
  state: '/hedgerow/state/1',
  reconcile: '/hedgerow/reconcile/1',
  pull: '/hedgerow/pull/1',
} as const
