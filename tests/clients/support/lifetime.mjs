// Child processes do not outlive the tests, however these end: orderly, with a failure, or by Ctrl-C.

const running = new Set()

/** Terminates `child` when this process ends, unless it has ended before. */
export function bindToThisProcess(child) {
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

// SIGTERM rather than SIGKILL: a development gateway then stops its PostgreSQL itself.
process.on('exit', () => running.forEach(child => child.kill('SIGTERM')))
for (const [signal, number] of Object.entries({ SIGINT: 2, SIGTERM: 15 })) {
  process.once(signal, () => process.exit(128 + number))
}
