/** What was opened, closed again in reverse order. */
export class Cleanup implements AsyncDisposable {
  #tasks: (() => Promise<void> | void)[] = []
  #running: Promise<void> | undefined

  /** Notes how to undo a step that was done. */
  add(undo: () => Promise<void> | void): void {
    this.#tasks.push(undo)
  }

  /** Undoes all, last first. One that fails does not keep the others from being undone; its error is thrown at the end. Idempotent. */
  run(): Promise<void> {
    this.#running ??= this.#run()
    return this.#running
  }

  async #run(): Promise<void> {
    const errors: unknown[] = []
    for (let undo = this.#tasks.pop(); undo !== undefined; undo = this.#tasks.pop())
      try {
        await undo()
      } catch (error) {
        errors.push(error)
      }
    if (errors.length === 1) throw errors[0]
    if (errors.length > 1) throw new AggregateError(errors, errors.map(String).join('; '))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.run()
  }
}
