// Pushes one line with pino-loki to the server named on the command line.
async function main () {
  const { pinoLoki } = await import(require.resolve('pino-loki'))
  const pino = require('pino')
  const stream = pinoLoki({ host: process.argv[2], batching: false, labels: { app: 'pino-test' } })
  const logger = pino({ level: 'info' }, stream)
  logger.info('hello from pino-loki')
  stream.end()
  await new Promise((resolve) => stream.on('close', resolve))
}
main().catch((error) => { console.error(error); process.exit(1) })
