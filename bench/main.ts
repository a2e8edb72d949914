/**
 * `npm run bench`: Berth beside what it is compared with, in one run, as a table in Markdown. A ratio says how many
 * times better Berth is. Another benchmark is another file with a `Benchmark`, named in the list below.
 */
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { must } from "../test/support/command.ts";
import { docker } from "./docker.ts";
import { inspector } from "./inspector.ts";
import { keyExchange } from "./key-exchange.ts";
import { kubernetes } from "./kubernetes.ts";
import { login } from "./login.ts";
import { type Benchmark, type Row, ratio, type Section, type Settings } from "./measure.ts";
import { memory } from "./memory.ts";
import { sshproxy } from "./sshproxy.ts";
import { throughput } from "./throughput.ts";

const benchmarks: ReadonlyArray<Benchmark> = [
  login,
  inspector,
  keyExchange,
  throughput,
  memory,
  docker,
  kubernetes,
  sshproxy,
];

const usage = `usage: npm run bench -- [--quick] [--noise] [NAME...]
  NAME      run only these: ${benchmarks.map(({ name }) => name).join(", ")}
  --quick   fewer repetitions and smaller transfers, for a first impression
  --noise   measure the reference against itself: how far from 1.0 chance alone gets`;

const main = async (): Promise<number> => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { quick: { type: "boolean" }, noise: { type: "boolean" }, help: { type: "boolean" } },
  });
  const strangers = positionals.filter((name) => !benchmarks.some((each) => each.name === name));
  if (values.help || strangers.length > 0) {
    console.error(strangers.length > 0 ? `no benchmark is called ${strangers.join(", ")}\n${usage}` : usage);
    return values.help ? 0 : 1;
  }
  const settings = { quick: values.quick ?? false, noise: values.noise ?? false };
  const chosen = benchmarks.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
  const sections: Section[] = [];
  for (const { name, lacks, run } of chosen) {
    const lacking = lacks?.();
    if (lacking === undefined) sections.push(await run(settings, (line) => console.error(`... ${line}`)));
    else console.error(`the benchmark ${name} is left out: it needs ${lacking}`);
  }
  console.log(await machine());
  for (const section of sections) console.log(`\n${table(section, settings)}`);
  return 0;
};

const machine = async (): Promise<string> => {
  const { stderr } = await must("ssh", ["-V"]);
  return `Node.js ${process.versions.node}, ${stderr.trim()}, ${cpus().length} cores (${cpus()[0]?.model ?? "unknown"})`;
};

const table = ({ title, reference, rows, notes }: Section, { noise }: Settings): string =>
  [
    `### ${title}\n`,
    `| | ${noise ? `${reference} again` : "Berth"} | ${reference} | ratio | aim |`,
    "|---|--:|--:|--:|--:|",
    ...rows.map(line),
    ...notes.map((note) => `\n${note}`),
  ].join("\n");

const line = (row: Row): string =>
  `| ${row.what} | ${number(row.ours)} ${row.unit} | ${number(row.reference)} ${row.unit} | ${ratio(row).toFixed(2)} | ${
    row.goal === undefined ? "" : row.goal.toFixed(2)
  } |`;

const number = (value: number): string => value.toPrecision(value >= 100 ? 4 : 3).replace(/e\+.*/, "");

process.exitCode = await main();
