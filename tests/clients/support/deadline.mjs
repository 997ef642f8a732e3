// How long a test waits for something that has to happen. It bounds a failure and is never a claim about speed.

/** Milliseconds after which a wait is given up. */
export const PATIENCE_MS = 20_000

/**
 * The outcome of `promise`, or a failure that says what was waited for.
 * @param {Promise<T>} promise
 * @param {() => string} describe called only when the wait is given up
 * @template T
 */
export async function within(promise, describe, patienceMs = PATIENCE_MS) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${patienceMs} ms for ${describe()}`)), patienceMs)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
