import assert from 'node:assert/strict'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { Gateway } from '../support/e2e-gateway.ts'
import { isInstalled } from '../support/e2e-lan.ts'
import { freePort } from '../support/e2e-ports.ts'
import { plainEnvironment, runOk, startProcess, until } from '../support/e2e-process.ts'
import { temporaryDirectory } from '../support/temp-dir.ts'

/** README shows this file as the first live source. */
const pipeline = join(import.meta.dirname, 'mosquitto-pipeline.sh')
const entry = join(import.meta.dirname, '../../bin/hedgerow.js')

interface RecordJson {
  readonly sensor: string
  readonly fields: Readonly<Record<string, { readonly value: unknown }>>
}

describe('mosquitto_sub | jq | hedgerow append --stdin', () => {
  it('takes in what is published to a broker, and ends in order on Ctrl-C', async function () {
    if (!['mosquitto', 'mosquitto_sub', 'mosquitto_pub', 'jq'].every(isInstalled)) this.skip()
    await using folder = await temporaryDirectory()
    const port = await freePort()
    await using broker = await startBroker(folder.path, port)
    await using gateway = new Gateway({
      dir: join(folder.path, 'data'),
      runArgs: ['--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0'],
    })
    await gateway.hedgerow(['init'])
    await gateway.run()
    const publish = (topic: string, message: string, ...flags: string[]): Promise<string> =>
      runOk(['mosquitto_pub', '-h', '127.0.0.1', '-p', String(port), '-q', '1', '-t', topic, '-m', message, ...flags])
    const found = (): Promise<RecordJson[]> => gateway.json<RecordJson>(['query', 'greenhouse-1/**'])

    await publish('greenhouse-1/old', '{"temperature":1}', '-r')
    const env = await pipelineEnvironment(folder.path, port, gateway.dir)
    // A process group, so that all of the pipeline is ended should the test fail.
    await using pipe = startProcess(['sh', pipeline], { env, group: true })
    await until(
      'mosquitto_sub to subscribe',
      () => broker.stderr(),
      (log) => log.includes('greenhouse-1/#'),
    )

    await publish('greenhouse-1/air', '{"temperature":21.5,"humidity":63}')
    await publish('greenhouse-1/door', '{"open":true,"state":"wide — offen"}')
    await publish('greenhouse-1/air', 'no JSON')
    await publish('elsewhere/air', '{"temperature":2}')
    await publish('greenhouse-1/air', '{"temperature":21.625,"humidity":62.5}')
    const records = await until('three records', found, ({ length }) => length >= 3)
    assert.deepEqual(
      records.map(({ sensor, fields }) => [
        sensor,
        Object.fromEntries(Object.entries(fields).map(([name, { value }]) => [name, value])),
      ]),
      [
        ['greenhouse-1/air', { temperature: 21.5, humidity: 63 }],
        ['greenhouse-1/door', { open: true, state: 'wide — offen' }],
        ['greenhouse-1/air', { temperature: 21.625, humidity: 62.5 }],
      ],
    )
    assert.match(pipe.stderr(), /jq: error.*no JSON/)

    // As Ctrl-C does: to all of the pipeline at once.
    await pipe.end('SIGINT')
    assert.match(pipe.stderr(), /3 records appended/)
  })
})

async function startBroker(folder: string, port: number): Promise<ReturnType<typeof startProcess>> {
  const config = join(folder, 'mosquitto.conf')
  await writeFile(config, `listener ${port} 127.0.0.1\nallow_anonymous true\nlog_dest stderr\nlog_type all\n`)
  const broker = startProcess(['mosquitto', '-c', config])
  await until(
    'mosquitto to listen',
    async () => !broker.running() || (await answers(port)),
    (listens) => listens,
  )
  assert.ok(broker.running(), broker.stderr())
  return broker
}

/**
 * README's commands as they stand: `hedgerow` is on PATH and finds its directory, and mosquitto_sub reads the broker's address
 * from its configuration.
 */
async function pipelineEnvironment(folder: string, port: number, dir: string): Promise<NodeJS.ProcessEnv> {
  await mkdir(join(folder, 'bin'))
  const command = join(folder, 'bin/hedgerow')
  await writeFile(command, `#!/bin/sh\nexec '${process.execPath}' '${entry}' "$@"\n`)
  await chmod(command, 0o755)
  await mkdir(join(folder, 'config'))
  await writeFile(join(folder, 'config/mosquitto_sub'), `-h 127.0.0.1\n-p ${port}\n`)
  const plain = plainEnvironment()
  return {
    ...plain,
    PATH: `${join(folder, 'bin')}:${plain['PATH'] ?? ''}`,
    XDG_CONFIG_HOME: join(folder, 'config'),
    HEDGEROW_DIR: dir,
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
