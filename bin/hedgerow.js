#!/usr/bin/env node
// The first file of the command line: plain old JavaScript, so that an old Node can say what is wrong.
import { spawn } from 'child_process'
import { existsSync } from 'fs'
import module from 'module'
import { homedir } from 'os'
import { dirname, join } from 'path'
import { fileURLToPath, pathToFileURL } from 'url'

var self = fileURLToPath(import.meta.url)
var root = dirname(dirname(self))
// Only a clone has the sources. Node runs them directly from 22.18 on; the published dist/ needs 22.15 (zstd).
var source = join(root, 'src', 'cli', 'main.ts')
var clone = existsSync(source)
var needed = clone ? [22, 18] : [22, 15]
var version = process.versions.node.split('.').map(Number)
var reexecuted = 'HEDGEROW_REEXECUTED'

if (version[0] > needed[0] || (version[0] === needed[0] && version[1] >= needed[1])) {
  if (process.env[reexecuted] !== undefined) dieWithParent()
  // Halves the time to start. In the user's own folder: what others may write must not be run.
  module.enableCompileCache(join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'hedgerow'))
  import(pathToFileURL(clone ? source : join(root, 'dist', 'cli', 'main.js')).href).then(
    function (cli) {
      cli.main(process.argv.slice(2))
    },
    function (error) {
      console.error('hedgerow: ' + (error && error.stack ? error.stack : error))
      process.exit(1)
    },
  )
} else {
  var local = join(root, 'node_modules', '.bin', 'node')
  if (process.env[reexecuted] === undefined && existsSync(local)) reexecute(local)
  else {
    console.error(
      'hedgerow needs Node.js ' +
        needed.join('.') +
        ' or later; this is ' +
        process.version +
        '. ' +
        (clone
          ? 'In a clone, run "npm ci" first: it brings Node 24 along; then "npx hedgerow …" works with any Node.'
          : 'Install a newer Node.js from https://nodejs.org/ or your distribution.'),
    )
    process.exit(1)
  }
}

/** Runs the same command on the Node that `npm ci` brought, passing signals on and the exit code back. */
function reexecute(node) {
  var env = Object.assign({}, process.env)
  env[reexecuted] = '1'
  // The channel tells the child when this process is gone, even killed.
  var child = spawn(node, [self].concat(process.argv.slice(2)), {
    env: env,
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  })
  ;['SIGINT', 'SIGTERM', 'SIGHUP'].forEach(function (signal) {
    process.on(signal, function () {
      child.kill(signal)
    })
  })
  child.on('error', function (error) {
    console.error('hedgerow: cannot run ' + node + ': ' + error.message)
    process.exit(1)
  })
  child.on('exit', function (code, signal) {
    if (signal) {
      process.removeAllListeners(signal)
      process.kill(process.pid, signal)
    } else process.exit(code)
  })
}

/** A node killed from outside must not live on under the Node that runs it. */
function dieWithParent() {
  delete process.env[reexecuted]
  if (process.channel === undefined || process.channel === null) return
  process.on('disconnect', function () {
    process.kill(process.pid, 'SIGKILL')
  })
  process.channel.unref()
}
