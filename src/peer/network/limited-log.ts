import type { Clock } from '../../model/index.ts'
import type { NetworkLog } from './log.ts'

/** Lines of one kind within `logWindowMs`: enough to see what goes on, too few to fill a disk. */
export const logLines = 20
export const logWindowMs = 60_000

/** Messages that others can cause as often as they like: strangers on the network, or a member gone wrong. */
const provoked: ReadonlySet<string> = new Set([
  'a join was refused',
  'a peer was refused',
  'a document from a peer was refused',
  'a gossip message was not stored',
  'hello failed',
  'a stream was reset because its handler failed',
  'the source of a broken stream failed to end',
  'a stranger could not be forgotten',
  'an announcement on the local network was ignored',
])

/** A log that writes at most `logLines` a minute of each provoked message, and then how many more there were. */
export function limitedLog(log: NetworkLog, clock: Clock): NetworkLog {
  const windows = new Map<string, { lines: number; leftOut: number }>()
  return (level, message, fields) => {
    if (!provoked.has(message)) return log(level, message, fields)
    let window = windows.get(message)
    if (window === undefined) {
      const begun = { lines: 0, leftOut: 0 }
      window = begun
      windows.set(message, begun)
      clock.setTimer(() => {
        windows.delete(message)
        if (begun.leftOut > 0) log('warn', 'lines were left out of the log', { of: message, count: begun.leftOut })
      }, logWindowMs)
    }
    if (window.lines >= logLines) window.leftOut++
    else {
      window.lines++
      log(level, message, fields)
    }
  }
}
