import { LockedError, systemClock } from '../model/index.ts'
import { connectControl } from './control/client.ts'
import { socketPlace } from './control/socket-place.ts'

/** How long a command may wait for a store that another one holds, ms, and how often that is tried. */
export const lockWait = { ms: 3_000, retryMs: 100 } as const

/**
 * Runs `open`; while a short command holds the directory's store, tries again for `lockWait.ms`. A running node does not let
 * go: if one answers there, its `LockedError` is thrown at once.
 */
export async function whenFree<T>(dir: string, open: () => Promise<T>): Promise<T> {
  const until = systemClock.monotonicMs() + lockWait.ms
  for (;;) {
    try {
      return await open()
    } catch (error) {
      if (!(error instanceof LockedError) || systemClock.monotonicMs() >= until) throw error
      const running = await connectControl(socketPlace(dir))
      await running?.close()
      if (running !== undefined) throw error
    }
    await systemClock.sleep(lockWait.retryMs)
  }
}
