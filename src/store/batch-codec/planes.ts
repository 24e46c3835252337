/** Byte planes: every value XORed with the one before, most significant bytes of all values first (Gorilla, VLDB 2015, and Blosc's shuffle). */
import type { ByteWriter } from './bytes.ts'

/** Appends the planes of `n` values of `width` bytes that stand one after the other in `bytes`, little-endian. */
export function writePlanes(raw: ByteWriter, bytes: Uint8Array, n: number, width: number): void {
  const start = raw.reserve(n * width)
  const out = raw.buffer()
  for (let plane = 0; plane < width; plane++) {
    let before = 0
    let from = width - 1 - plane
    const to = start + plane * n
    for (let i = 0; i < n; i++, from += width) {
      const byte = bytes[from] as number
      out[to + i] = byte ^ before
      before = byte
    }
  }
}

/** Undoes `writePlanes` into `out`. */
export function readPlanes(planes: Uint8Array, n: number, width: number, out: Uint8Array): void {
  for (let plane = 0; plane < width; plane++) {
    let before = 0
    let to = width - 1 - plane
    for (let i = 0; i < n; i++, to += width) {
      before ^= planes[plane * n + i] as number
      out[to] = before
    }
  }
}
