import assert from 'node:assert/strict'
import type { Command } from 'commander'
import { program } from '../../src/cli/program.ts'

/** Commands that do something, with their whole names. */
function leaves(command: Command, name = command.name()): (readonly [string, Command])[] {
  if (command.commands.length === 0) return [[name, command]]
  return command.commands.flatMap((each) => leaves(each, `${name} ${each.name()}`))
}

function helpOf(command: Command): string {
  let text = ''
  command.configureOutput({ writeOut: (part) => (text += part) })
  command.outputHelp()
  return text
}

describe('help', () => {
  const root = program(
    { run: () => Promise.resolve() },
    { stdout: process.stdout, stderr: process.stderr, json: false },
  )

  it('has an example for every command, that is one of that command', () => {
    const all = leaves(root)
    assert.ok(all.length >= 20)
    for (const [name, command] of all) {
      const example = /\nExamples?:\n((?: {2}\S.*\n)+)/.exec(helpOf(command))?.[1]
      assert.ok(example?.includes(name), `${name}: ${example}`)
    }
  })

  it('explains every command, argument and option', () => {
    for (const [name, command] of leaves(root)) {
      assert.ok(command.description().length > 10, name)
      for (const { long, description } of command.options) assert.ok(description.length > 5, `${name} ${long}`)
      for (const argument of command.registeredArguments)
        assert.ok(argument.description.length > 5, `${name} ${argument.name()}`)
    }
  })
})
