/** Runs a task for each item, at most `most` at a time. After a failure starts no further one, waits, and throws it. */
export async function inParallel<T>(
  items: Iterable<T> | AsyncIterable<T>,
  most: number,
  task: (item: T) => Promise<void>,
): Promise<void> {
  const running = new Set<Promise<void>>()
  let failure: { readonly error: unknown } | undefined
  try {
    for await (const item of items) {
      const run = task(item)
        .catch((error: unknown) => {
          failure ??= { error }
        })
        .finally(() => running.delete(run))
      running.add(run)
      if (running.size >= most) await Promise.race(running)
      if (failure !== undefined) break
    }
  } finally {
    await Promise.all(running)
  }
  if (failure !== undefined) throw failure.error
}
