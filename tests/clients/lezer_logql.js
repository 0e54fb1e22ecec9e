// Reads a JSON array of queries from stdin; answers an array that says which of them Grafana's
// grammar reads without a mistake.
const { parser } = require("@grafana/lezer-logql");

function parses(query) {
  let mistakes = 0;
  parser.parse(query).iterate({
    enter(node) {
      mistakes += node.type.isError ? 1 : 0;
    },
  });
  return mistakes === 0;
}

let text = "";
process.stdin.on("data", (part) => (text += part));
process.stdin.on("end", () => {
  process.stdout.write(JSON.stringify(JSON.parse(text).map(parses)));
});
