/** Waits for a condition, looking again at each change that the returned `look` is told of. */
export function watch(patienceMs = 10_000) {
  const waiting = new Set()
  const look = () => waiting.forEach(check => check())
  const until = (condition, what) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`waited ${patienceMs} ms for ${what}`)), patienceMs)
      const check = () => {
        if (!condition()) return
        clearTimeout(timer)
        waiting.delete(check)
        resolve()
      }
      waiting.add(check)
      check()
    })
  return { look, until }
}
