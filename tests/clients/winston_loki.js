// Pushes one line with winston-loki to the server named on the command line.
const winston = require('winston')
const LokiTransport = require('winston-loki')

const transport = new LokiTransport({
  host: process.argv[2],
  labels: { app: 'winston-test' },
  batching: false,
  onConnectionError: (error) => { console.error(error); process.exit(1) },
})
const logger = winston.createLogger({ transports: [transport] })
logger.info('hello from winston-loki')
transport.flush().then(() => process.exit(0), (error) => { console.error(error); process.exit(1) })
