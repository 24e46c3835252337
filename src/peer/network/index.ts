/** The network behind one interface: libp2p, and a simulated one with its own clock and randomness. */
export * from './types.ts'
export type { NetworkLog } from './log.ts'
export { createLibp2pNetwork, isAddressInUse, type Libp2pNetworkOptions } from './libp2p.ts'
export { createSimulatedWorld, type SimulatedWorld, type SimulatedWorldOptions } from './simulated.ts'
export { createSeededRandom, type SeededRandom } from './seeded-random.ts'
export { createVirtualClock, type VirtualClock } from './virtual-clock.ts'
