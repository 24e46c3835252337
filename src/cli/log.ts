import { pino, type DestinationStream } from 'pino'
import type { NodeLog } from '../gateway/index.ts'
import type { Output } from './output.ts'

/** Logs of a running node on stderr: JSON lines with `--json`, else lines to read; errors and warnings only with `--quiet`. */
export function createLog(output: Output): NodeLog {
  const log = pino(
    { level: output.quiet ? 'warn' : 'info', base: null, timestamp: pino.stdTimeFunctions.isoTime },
    output.json ? { write: (line: string) => output.trace(line.trimEnd()) } : readable(output),
  )
  return (level, message, fields) => log[level](fields, message)
}

const names: Readonly<Record<number, string>> = { 30: 'info', 40: 'warn', 50: 'error' }

/** Turns pino's JSON into `time level message field=value…`. */
function readable(output: Output): DestinationStream {
  return {
    write(line) {
      const { level, time, msg, ...fields } = JSON.parse(line) as { level: number; time: string; msg: string }
      const details = Object.entries(fields).map(
        ([name, value]) => ` ${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
      )
      output.trace(`${time} ${(names[level] ?? String(level)).padEnd(5)} ${msg}${details.join('')}`)
    },
  }
}
