import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const root = fileURLToPath(new URL('../..', import.meta.url))

describe('README', () => {
  it('shows a session that runs as it stands there', async () => {
    const readme = await readFile(join(root, 'README.md'), 'utf8')
    const session = /<!-- session -->\n+```sh\n([^]*?)```/.exec(readme)?.[1]
    assert.ok(session !== undefined && session.includes('HEDGEROW_DIR=./barn'))
    const folder = await mkdtemp(join(tmpdir(), 'hedgerow-readme-'))
    try {
      const { stdout } = await promisify(execFile)(
        'bash',
        ['-euc', session.replace('HEDGEROW_DIR=./barn', `HEDGEROW_DIR=${folder}/barn`)],
        { cwd: root },
      )
      assert.match(stdout, /greenhouse-1\/air +63 +21\.5/)
      assert.match(stdout, /greenhouse-1\/air,2026-11-20T08:30:00Z,temperature,21\.4/)
      assert.match(stdout, /at risk +2 /)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })

  it('shows the live source that is tested', async () => {
    const readme = await readFile(join(root, 'README.md'), 'utf8')
    const tested = await readFile(join(root, 'test/e2e/mosquitto-pipeline.sh'), 'utf8')
    const pipeline = tested
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .join('\n')
    assert.ok(readme.replace('npx hedgerow append --stdin', 'hedgerow append --stdin').includes(pipeline))
  })
})
