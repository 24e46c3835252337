import type { Clock } from '../model/index.ts'

/**
 * Passes messages on, and calls `onStall` when the other side takes none for `ms`: what waits holds memory and a moment of
 * the store. `both`: a time in which the source has none counts too, since the other side has to speak for it to go on.
 */
export async function* watched(
  clock: Clock,
  source: AsyncIterable<Uint8Array>,
  { ms, both, onStall }: { readonly ms: number; readonly both: boolean; readonly onStall: () => void },
): AsyncGenerator<Uint8Array> {
  let timer = both ? clock.setTimer(onStall, ms) : undefined
  try {
    for await (const message of source) {
      timer?.cancel()
      timer = clock.setTimer(onStall, ms)
      yield message
      timer.cancel()
      timer = both ? clock.setTimer(onStall, ms) : undefined
    }
  } finally {
    timer?.cancel()
  }
}
