import { noise } from '@chainsafe/libp2p-noise'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { gossipsub, type GossipSub } from '@libp2p/gossipsub'
import { identify, type Identify } from '@libp2p/identify'
import type { Libp2p } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { constants } from './constants.ts'
import { gatedRegistrar, type Gate } from './gate.ts'
import { presharedKey } from './preshared-key.ts'
import { networkLimits } from './types.ts'

export type Libp2pNode = Libp2p<{ identify: Identify; gossip: GossipSub }>

export interface Libp2pNodeOptions {
  readonly privateSeed: Uint8Array
  readonly psk: Uint8Array
  readonly listen: readonly string[]
  readonly announce?: readonly string[]
  readonly gate: Gate
}

/** Makes, without starting it, a libp2p node that never dials by itself and answers strangers nothing. */
export async function createLibp2pNode(options: Libp2pNodeOptions): Promise<Libp2pNode> {
  const { gate } = options
  return createLibp2p({
    start: false,
    privateKey: await generateKeyPairFromSeed('Ed25519', options.privateSeed),
    addresses: { listen: [...options.listen], ...(options.announce && { announce: [...options.announce] }) },
    transports: [
      tcp({
        inboundSocketInactivityTimeout: constants.socketIdleMs,
        outboundSocketInactivityTimeout: constants.socketIdleMs,
        backlog: constants.backlog,
        maxConnections: constants.maxConnections + constants.maxIncomingPending,
        dialOpts: { noDelay: true, keepAlive: true },
        listenOpts: { noDelay: true, keepAlive: true },
      }),
    ],
    connectionProtector: presharedKey(options.psk),
    connectionEncrypters: [noise()],
    streamMuxers: [
      yamux({
        enableKeepAlive: true,
        keepAliveInterval: constants.keepAliveMs,
        maxInboundStreams: constants.streamsPerConnection,
        maxOutboundStreams: constants.streamsPerConnection,
        maxEarlyStreams: constants.earlyStreams,
        maxMessageSize: constants.frameBytes,
        streamOptions: {
          initialStreamWindowSize: constants.firstWindowBytes,
          maxStreamWindowSize: constants.maxWindowBytes,
          maxReadBufferLength: constants.readBufferBytes,
        },
      }),
    ],
    connectionManager: {
      maxConnections: constants.maxConnections,
      inboundConnectionThreshold: constants.inboundConnectionsPerSecond,
      maxIncomingPendingConnections: constants.maxIncomingPending,
      inboundUpgradeTimeout: constants.inboundUpgradeMs,
      inboundStreamProtocolNegotiationTimeout: constants.negotiationMs,
      outboundStreamProtocolNegotiationTimeout: constants.negotiationMs,
      connectionCloseTimeout: constants.closeMs,
      dialTimeout: constants.dialMs,
      addressDialTimeout: constants.dialAddressMs,
      maxParallelDials: constants.maxParallelDials,
      maxDialQueueLength: constants.maxDialQueue,
      maxPeerAddrsToDial: constants.maxAddresses,
      // Redialling is ours.
      reconnectRetries: 0,
    },
    connectionMonitor: {
      enabled: true,
      pingInterval: constants.pingEveryMs,
      pingTimeout: { minTimeout: constants.pingMinMs, maxTimeout: constants.pingMaxMs },
      abortConnectionOnPingFailure: true,
    },
    services: {
      identify: (components) =>
        identify({
          // Only after `admit`.
          runOnConnectionOpen: false,
          timeout: constants.identifyMs,
          maxMessageSize: constants.identifyBytes,
          maxInboundStreams: 1,
          maxOutboundStreams: 1,
          maxObservedAddresses: 1,
        })({
          peerId: components.peerId,
          privateKey: components.privateKey,
          peerStore: components.peerStore,
          registrar: gatedRegistrar(components.registrar, gate),
          addressManager: components.addressManager,
          events: components.events,
          logger: components.logger,
          nodeInfo: components.nodeInfo,
        }),
      gossip: (components) =>
        gossipsub({
          D: constants.gossipDegree,
          Dlo: constants.gossipDegreeLow,
          Dhi: constants.gossipDegreeHigh,
          heartbeatInterval: constants.gossipHeartbeatMs,
          mcacheLength: constants.gossipHistory,
          mcacheGossip: constants.gossipHistoryGossip,
          seenTTL: constants.gossipSeenMs,
          // Own messages go to every subscriber at once: with mesh repair alone a new one waits for a heartbeat.
          floodPublish: true,
          fallbackToFloodsub: false,
          emitSelf: false,
          allowPublishToZeroTopicPeers: true,
          ignoreDuplicatePublishError: true,
          // Nodes find each other through ours; libp2p must not dial what others name.
          doPX: false,
          // A tag that keeps connections alive would make libp2p redial.
          tagMeshPeers: false,
          // The author is who signed, whoever passed it on.
          globalSignaturePolicy: 'StrictSign',
          maxInboundStreams: 2,
          maxOutboundStreams: 2,
          maxInboundDataLength: constants.gossipFrameBytes,
          maxOutboundBufferSize: constants.gossipOutboundBytes,
          maxTopicBytesPerPeer: constants.gossipTopicBytes,
          messageProcessingConcurrency: constants.gossipConcurrency,
          decodeRpcLimits: {
            maxSubscriptions: constants.gossipSubscriptionsPerFrame,
            maxMessages: constants.gossipMessagesPerFrame,
            maxControlMessages: constants.gossipControlsPerFrame,
            maxIhaveMessageIDs: constants.gossipIdsPerControl,
            maxIwantMessageIDs: constants.gossipIdsPerControl,
            maxIdontwantMessageIDs: constants.gossipIdsPerControl,
            maxPeerInfos: 0,
          },
          scoreParams: {
            // 15 gateways behind one address are a site, not an attack: with the default nobody hears them, and nobody is told.
            IPColocationFactorWeight: 0,
            // A slow gateway breaks promises. Scores are for strangers, and none comes this far.
            behaviourPenaltyWeight: 0,
          },
          dataTransform: {
            inboundTransform: (_topic, data) => {
              if (data.length > networkLimits.gossipBytes) throw new RangeError('gossip message too large')
              return data
            },
            outboundTransform: (_topic, data) => data,
          },
        })({
          privateKey: components.privateKey,
          peerId: components.peerId,
          peerStore: components.peerStore,
          registrar: gatedRegistrar(components.registrar, gate),
          connectionManager: components.connectionManager,
          logger: components.logger,
        }),
    },
  })
}
