import { LockedError, systemClock } from '../model/index.ts'
import type { StoreLog } from '../store/index.ts'
import { connectControl } from './control/client.ts'
import { socketPlace } from './control/socket-place.ts'
import { requireStore } from './directory.ts'
import { openNode } from './node.ts'
import { localClient, type NodeClient } from './operations.ts'
import { lockWait } from './when-free.ts'

/**
 * Gives the node of a directory to ask: the one that runs there, else the store opened by this process. Throws
 * `NotFoundError` where there is no store, `LockedError` where a process has it for long that is no running node.
 */
export async function openClient(dir: string, options: { readonly log?: StoreLog } = {}): Promise<NodeClient> {
  requireStore(dir)
  const place = socketPlace(dir)
  const until = systemClock.monotonicMs() + lockWait.ms
  for (;;) {
    const remote = await connectControl(place)
    if (remote !== undefined) return remote
    try {
      const node = await openNode({ dir, mode: 'offline', ...options })
      return localClient(node.operations, () => node.close())
    } catch (error) {
      if (!(error instanceof LockedError) || systemClock.monotonicMs() >= until) throw error
    }
    await systemClock.sleep(lockWait.retryMs)
  }
}
