import type { Command } from 'commander'
import type { CommandResult, Context } from './context.ts'

/** Runs a command's code; set by `main`, which owns signals and the exit code. */
export interface Runner {
  run(command: Command, code: (context: Context) => Promise<CommandResult>): Promise<void>
}

/** Makes a commander action of a command's code: `code(context, options, …arguments)`. */
export function action(
  runner: Runner,
  // What commander hands over is what the command declares: each command's code says its types.
  code: (context: Context, options: never, ...args: never[]) => Promise<CommandResult>,
): (...args: unknown[]) => Promise<void> {
  return async (...args) => {
    const command = args.at(-1) as Command
    const options = args.at(-2) as never
    await runner.run(command, (context) => code(context, options, ...(args.slice(0, -2) as never[])))
  }
}

/** Adds examples to a command's help. */
export function examples(command: Command, ...lines: readonly string[]): Command {
  return command.addHelpText(
    'after',
    `\nExample${lines.length > 1 ? 's' : ''}:\n${lines.map((line) => `  ${line}`).join('\n')}`,
  )
}

/** Collects an option that may come several times. */
export function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value]
}
