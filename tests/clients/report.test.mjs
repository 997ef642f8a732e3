// The reports of `roost replay`, read by parsers of others: TAP as tests of Node.js read it, JUnit as tools of CI do.

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'

import { XMLParser, XMLValidator } from 'fast-xml-parser'
import { Parser } from 'tap-parser'

import { Gateway } from './support/gateway.mjs'
import { replay } from './support/recorder.mjs'

const OPEN = '{"open":"a","vsn":"2.0.0","params":{"apikey":"${jwt:anon}"}}'
const BEAT = '{"send":"a","text":[null,"1","phoenix","heartbeat",{}]}'
const BEATEN = '{"recv":"a","text":[null,"1","phoenix","phx_reply",{"status":"ok","response":{}}]}'
/** What breaks a report that does not escape: markup, quotes, the end of a section, a directive of TAP, a line break. */
const ODD = `<b attr="x">&amp; ]]> # TODO 'y' \\u0001 \\n ok 7`
const WRONG = BEATEN.replace('"ok"', JSON.stringify(ODD))

let gateway, folder
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'roost-report-'))
  gateway = await Gateway.serve()
  const put = (name, area, steps) => {
    const header = {
      transcript: 1,
      name,
      area,
      title: 't',
      shows: 's',
      reference: { server: 'x', version: '1', commit: 'c' },
      vsn: ['2.0.0'],
      tenant: 'main',
      jwt: { anon: { claims: { role: 'anon', exp: 'now+60' } } },
      takes_ms: 1
    }
    return writeFile(join(folder, `${name}.jsonl`), [JSON.stringify(header), ...steps, ''].join('\n'))
  }
  await put('beats', 'heartbeat', [OPEN, BEAT, BEATEN])
  await put('sql', 'database', ['{"sql":"select 1"}'])
  await put('wrong', 'heartbeat', [OPEN, BEAT, WRONG])
})
after(async () => {
  await gateway?.stop()
  await rm(folder, { recursive: true, force: true })
})

const file = name => join(folder, `${name}.jsonl`)

/** The report on these files. */
async function report(form, code, ...names) {
  const told = await replay(gateway, file(names[0]), ...names.slice(1).map(file), '--report', form)
  assert.equal(told.code, code, told.output)
  return told.printed
}

/** What TAP's own parser makes of a report: its verdict, and every test point. */
function parseTap(text) {
  const points = []
  let verdict
  const parser = new Parser({ strict: true }, results => (verdict = results))
  parser.on('assert', point => points.push(point))
  parser.end(text)
  return { verdict, points }
}

test('TAP of what passes is a pass', async () => {
  const { verdict, points } = parseTap(await report('tap', 0, 'beats'))
  assert.deepEqual([verdict.ok, verdict.count, verdict.pass, verdict.fail], [true, 1, 1, 0])
  assert.deepEqual(verdict.failures, [])
  assert.equal(points[0].name, 'heartbeat/beats')
  assert.equal(points[0].diag.file, file('beats'))
})

test('TAP of what fails says where and why', async () => {
  const { verdict, points } = parseTap(await report('tap', 1, 'beats', 'wrong', 'sql'))
  assert.deepEqual([verdict.ok, verdict.count, verdict.pass, verdict.fail, verdict.skip], [false, 3, 2, 1, 1])
  assert.deepEqual(
    points.map(({ ok, name, skip }) => [ok, name, Boolean(skip)]),
    [
      [true, 'heartbeat/beats', false],
      [true, 'database/sql', true],
      [false, 'heartbeat/wrong', false]
    ]
  )
  const { diag } = points[2]
  assert.deepEqual([diag.file, diag.line], [file('wrong'), 4])
  assert.ok(diag.message.startsWith(`${file('wrong')}:4: something else arrived\n`), diag.message)
})

/** The tree of a report; every element as an array, attributes as strings. */
function parseJunit(text) {
  assert.equal(XMLValidator.validate(text), true)
  const parser = new XMLParser({
    ignoreAttributes: false,
    attributeNamePrefix: '',
    attributesGroupName: 'attributes',
    parseAttributeValue: false,
    parseTagValue: false,
    processEntities: true,
    htmlEntities: true,
    isArray: name => !['testsuites', 'attributes', '#text'].includes(name) && !name.includes('.')
  })
  return parser.parse(text)
}

/** What tools of CI rely on: names, counts that agree with the cases, times in seconds. */
function checkJunit({ testsuites }) {
  const suites = testsuites.testsuite
  const cases = suites.flatMap(suite => suite.testcase)
  const seconds = /^\d+\.\d+$/
  const check = ({ name, tests, failures, errors, skipped, time }, cases) => {
    assert.ok(name)
    const of = kind => cases.filter(it => it[kind] !== undefined).length
    assert.deepEqual(
      [tests, failures, errors, skipped].map(Number),
      [cases.length, of('failure'), of('error'), of('skipped')]
    )
    assert.match(time, seconds)
  }
  check(testsuites.attributes, cases)
  for (const suite of suites) check(suite.attributes, suite.testcase)
  for (const { attributes, failure } of cases) {
    assert.ok(attributes.name && attributes.classname && attributes.file)
    assert.match(attributes.time, seconds)
    for (const { attributes } of failure ?? []) assert.ok(attributes.message && attributes.type)
  }
  return cases
}

test('JUnit of what passes has a case for it and nothing in it', async () => {
  const cases = checkJunit(parseJunit(await report('junit', 0, 'beats')))
  assert.deepEqual(
    cases.map(({ attributes, failure }) => [attributes.name, attributes.classname, failure]),
    [['beats', 'transcripts.heartbeat', undefined]]
  )
})

test('JUnit of what fails has a failure with message, type and text', async () => {
  const cases = checkJunit(parseJunit(await report('junit', 1, 'beats', 'wrong', 'sql')))
  const of = name => cases.find(({ attributes }) => attributes.name === name)
  assert.equal(of('beats').failure, undefined)
  assert.match(of('sql').skipped[0].attributes.message, /no database/)
  const [failure] = of('wrong').failure
  assert.equal(failure.attributes.message, 'line 4: something else arrived')
  assert.ok(failure['#text'].includes('<b attr='), failure['#text'])
})

test('JSON has the same, with the line and both values', async () => {
  const all = JSON.parse(await report('json', 1, 'beats', 'wrong', 'sql'))
  assert.deepEqual([all.passed, all.failed, all.left_out, all.deviating], [1, 1, 1, 0])
  const { failure, outcome } = all.transcripts.find(({ name }) => name === 'wrong')
  assert.deepEqual([outcome, failure.line, failure.mismatch.path, failure.mismatch.got], [
    'failed',
    4,
    '$[4].status',
    '"ok"'
  ])
})
