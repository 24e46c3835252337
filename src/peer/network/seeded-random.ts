import { createHash } from 'node:crypto'
import type { Random } from '../../model/index.ts'

/** Randomness that is the same for the same seed. For simulations and tests only: never for real keys. */
export interface SeededRandom extends Random {
  /** A source of its own for one user: what others draw does not change it. */
  fork(label: string): SeededRandom
}

/** Makes a source from a seed (xoshiro128**, Blackman and Vigna 2018, seeded by SHA-256). */
export function createSeededRandom(seed: string | number): SeededRandom {
  const digest = createHash('sha256').update(`hedgerow simulation ${seed}`).digest()
  const state = new Uint32Array(4)
  for (let i = 0; i < 4; i++) state[i] = digest.readUInt32LE(i * 4)
  const next = (): number => {
    const [a, b, c, d] = state as unknown as [number, number, number, number]
    const result = Math.imul(rotate(Math.imul(b, 5), 7), 9) >>> 0
    const c2 = c ^ a
    const d2 = d ^ b
    state[0] = a ^ d2
    state[1] = b ^ c2
    state[2] = c2 ^ (b << 9)
    state[3] = rotate(d2, 11)
    return result
  }
  return {
    bytes(length) {
      const bytes = new Uint8Array(length)
      for (let at = 0; at < length; at += 4) {
        const word = next()
        for (let i = 0; i < 4 && at + i < length; i++) bytes[at + i] = (word >>> (8 * i)) & 0xff
      }
      return bytes
    },
    uniform: () => ((next() >>> 6) * 2 ** 27 + (next() >>> 5)) / 2 ** 53,
    fork: (label) => createSeededRandom(JSON.stringify([seed, label])),
  }
}

function rotate(value: number, by: number): number {
  return (value << by) | (value >>> (32 - by))
}
