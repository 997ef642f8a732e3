let count = 0

/** A name no other test of this file uses. */
export const freshTopic = () => `topic-${++count}`
