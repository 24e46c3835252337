import { SingleBar } from 'cli-progress'
import type { Output } from './output.ts'

/** Shows how far a long command is: on a terminal only. */
export interface Progress {
  update(done: number, text?: string): void
  stop(): void
}

const none: Progress = { update: () => undefined, stop: () => undefined }

export function startProgress(output: Output, title: string, total: number): Progress {
  if (!output.drawsProgress || total <= 0) return none
  const bar = new SingleBar({
    format: `${title} {bar} {percentage}% {text}`,
    stream: output.progressStream,
    hideCursor: true,
    clearOnComplete: true,
    barsize: 24,
  })
  bar.start(total, 0, { text: '' })
  return {
    update: (done, text = '') => bar.update(Math.min(done, total), { text }),
    stop: () => bar.stop(),
  }
}
