// JSON Web Tokens, signed with HS256.

import { createHmac } from 'node:crypto'

const encode = value => Buffer.from(JSON.stringify(value)).toString('base64url')

/** Seconds since 1970, as tokens count them. */
export const nowSeconds = () => Math.floor(Date.now() / 1000)

/** A token with exactly these claims. */
export function sign(secret, claims) {
  const body = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`
  return `${body}.${createHmac('sha256', secret).update(body).digest('base64url')}`
}

/** A token of `role` that lasts for `seconds`. */
export const tokenFor = (secret, role, seconds = 3600, more = {}) =>
  sign(secret, { role, exp: nowSeconds() + seconds, ...more })
