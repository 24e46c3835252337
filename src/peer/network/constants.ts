import { networkLimits } from './types.ts'

/** Every limit of the networks, with its unit and its reason. What is beyond one is refused, reset or dropped, never queued. */
export const constants = {
  // ------------------------------------------------------------------------------------------------ connections
  /** A site has at most some hundred gateways; a connection costs some 100 kB. Newer ones are refused. */
  maxConnections: 300,
  /** New connections per second and host. libp2p's 5 would refuse a whole site behind one address after a power cut. */
  inboundConnectionsPerSecond: 200,
  /** Connections whose handshake is still going on: bounds what strangers without the pre-shared key can hold open. */
  maxIncomingPending: 64,
  /** The operating system's queue of connections not yet accepted. */
  backlog: 128,
  /** Time for the pre-shared key, Noise and Yamux of an inbound connection; a small gateway under load needs seconds. */
  inboundUpgradeMs: 10_000,
  /** Bytes held of a connection whose handshake is still going on: more than a handshake and the first streams. */
  handshakeBufferBytes: 1_048_576,
  /** All addresses of one `connect`, and one address of them, so that a dead address leaves time for the next. */
  dialMs: 15_000,
  dialAddressMs: 4_000,
  /** Addresses of one `connect`: what a node with several interfaces in both families has. */
  maxAddresses: 16,
  maxParallelDials: 16,
  maxDialQueue: 128,
  /** Sending the rest before a connection is closed; then it is cut. */
  closeMs: 1_000,
  /** A socket without a byte for this long is closed; keep-alives go every `keepAliveMs`. */
  socketIdleMs: 90_000,
  keepAliveMs: 15_000,
  /** A ping goes out this often, and the connection is cut when none comes back in time. A store may block for seconds. */
  pingEveryMs: 10_000,
  pingMinMs: 10_000,
  pingMaxMs: 30_000,
  /** Two connections of opposite directions within this time come from both sides dialling at once. */
  simultaneousDialMs: 5_000,
  /** How long `stop` waits for handlers that do not end when their stream has gone. */
  stopMs: 5_000,

  // ------------------------------------------------------------------------------------------------ streams
  /** Open streams of one protocol, direction and connection. */
  streamsPerProtocol: 32,
  /** The same before the node is admitted: one hello or one join at a time, and room for one that is just ending. */
  strangerStreamsPerProtocol: 4,
  /** Open streams of one connection and direction, and those that arrive before the connection is set up. */
  streamsPerConnection: 128,
  earlyStreams: 10,
  /** Agreeing on the protocol of a stream. */
  negotiationMs: 10_000,
  /** Yamux windows: the first (its minimum), and the largest, which moves 20 MB/s over a round trip of 50 ms. */
  firstWindowBytes: 262_144,
  maxWindowBytes: 1_048_576,
  /** What a paused stream holds; has to be more than a window, or Yamux cuts a stream whose reader is slow. */
  readBufferBytes: 2_097_152,
  /** A reader that holds this many bytes asks for no more until it is below the second. */
  readAheadBytes: 262_144,
  readAgainBytes: 65_536,
  /** Bytes of one Yamux frame: bounds how long one stream keeps the others waiting. */
  frameBytes: 65_536,

  // ------------------------------------------------------------------------------------------------ identify
  /** An answer holds some addresses and protocol names. */
  identifyBytes: 8_192,
  identifyMs: 5_000,
  /** First and longest pause between two attempts to start gossip with an admitted node that has not admitted us yet. */
  gossipRetryMs: 100,
  gossipRetryMaxMs: 5_000,
  /** How often the gossip stream of an admitted node is looked after. */
  gossipCheckMs: 5_000,

  // ------------------------------------------------------------------------------------------------ gossip
  /** Mesh degree: the usual 6 within 4 and 12; up to 12 nodes form a full mesh. */
  gossipDegree: 6,
  gossipDegreeLow: 4,
  gossipDegreeHigh: 12,
  /** Mesh repair and IHAVE: below the second in which gossip should have reached everyone. */
  gossipHeartbeatMs: 700,
  /** Heartbeats for which messages can be asked for again, and for which they are announced. */
  gossipHistory: 5,
  gossipHistoryGossip: 3,
  /** How long a message id is remembered. */
  gossipSeenMs: 120_000,
  /** One frame between two nodes: many messages in answer to one IWANT. libp2p itself refuses above 4 MiB. */
  gossipFrameBytes: 4_194_304,
  /** Bytes that wait for a slow node before its gossip stream is cut; reconciliation brings what it missed. */
  gossipOutboundBytes: 4_194_304,
  /** Bytes of topic names of one node: a topic per group, 64 groups, some 1.1 kB each as libp2p counts. */
  gossipTopicBytes: 262_144,
  /** What one frame may carry, above what 64 groups and a hundred nodes make. */
  gossipSubscriptionsPerFrame: 256,
  gossipMessagesPerFrame: 1_000,
  gossipControlsPerFrame: 1_000,
  gossipIdsPerControl: 5_000,
  /** Messages that wait for listeners inside libp2p at once. */
  gossipConcurrency: 10,

  // ------------------------------------------------------------------------------------------------ discovery
  /** A question on the local network this often; each answer is some 500 bytes of multicast. */
  mdnsIntervalMs: 10_000,
  /** Interfaces it speaks on: a host with containers has a bridge for each. */
  mdnsInterfaces: 16,
  /** Between two answers on one interface: whatever is asked, everybody hears each. */
  mdnsPauseMs: 200,
  /** How long an answer holds, seconds. Nothing here keeps one; others may. */
  mdnsLifeSeconds: 120,
  /** Different faults of interfaces that are logged, each once. */
  mdnsFaults: 64,
  /** Addresses in one mDNS answer: beyond 1,400 bytes it is cut into fragments and lost on many networks. */
  mdnsAddresses: 4,
  /** Addresses taken from one answer of somebody else. */
  discoverAddresses: 8,

  // ------------------------------------------------------------------------------------------------ simulated
  /** Bytes under way or unread of one direction of a simulated stream, and the unread ones that are confirmed at once. */
  simulatedWindowBytes: 2_097_152,
  simulatedCreditBytes: 524_288,
  /** First pause before a lost segment is sent again (it doubles), and the losses in a row that break the connection. */
  simulatedRetransmitMs: 200,
  simulatedLossesToBreak: 8,
} as const

if (
  constants.readBufferBytes <= constants.maxWindowBytes ||
  constants.simulatedCreditBytes + networkLimits.messageBytes >= constants.simulatedWindowBytes
)
  throw new RangeError('the network constants contradict each other')
