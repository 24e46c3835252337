/** `JSON.rawJSON` (ECMAScript proposal JSON.parse source text access, in Node since 21) is not in TypeScript's libraries yet. */
const { rawJSON } = JSON as unknown as { readonly rawJSON: (text: string) => unknown }

/** Writes JSON in which 64-bit integers keep all their digits, −0 its sign, and bytes are base64. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => {
    if (typeof item === 'bigint') return rawJSON(item.toString())
    if (typeof item === 'number' && Object.is(item, -0)) return rawJSON('-0')
    if (item instanceof Uint8Array) return Buffer.from(item).toString('base64')
    if (item instanceof Map) return Object.fromEntries(item)
    return item
  })
}
