// A host of the contract 0.1.0 in V8, as far as a round needs it: `node host.js DIR` does
// DIR/round.json with the plan that jco transpiled into transpiled/, and writes DIR/got.json.
// See one_round.py.
import { readFileSync, writeFileSync } from "node:fs";
import { instantiate } from "./transpiled/plan.js";

const PACKAGE = "fedwasm:training-plan";
const folder = process.argv[2];
const round = JSON.parse(readFileSync(`${folder}/round.json`));
const bytesOf = (hex) => new Uint8Array(Buffer.from(hex, "hex"));

// 64-bit integers are BigInts here.
const argumentsOf = round.arguments.map(([name, { tag, val }]) =>
  [name, { tag, val: tag === "integer" ? BigInt(val) : val }]);

const model = []; // What `declare` announces.
const random = bytesOf(round.random);
let drawn = 0;
let handed = 0;

function check(holds, otherwise) {
  if (!holds) throw new Error(otherwise);
}

const tensor = (dtype, shape, hex) => ({ dtype, shape: BigUint64Array.from(shape, BigInt), data: bytesOf(hex) });

const store = {
  read(slot, index, offset, len) {
    check(slot === "model", slot);
    return model[index].slice(Number(offset), Number(offset) + len);
  },
  write(slot, index, offset, data) {
    check(slot === "model", slot);
    model[index].set(data, Number(offset));
  },
};

const loader = {
  next() {
    if (handed === round.batches.length) return undefined;
    const { index, rows, inputs, targets } = round.batches[handed++];
    return {
      index: BigInt(index),
      rows,
      inputs: [["inputs", tensor("float32", [rows, 64], inputs)]],
      targets: [["targets", tensor("int64", [rows], targets)]],
    };
  },
};

const imports = {
  store,
  loader,
  predictions: { emit: () => check(false, "a round of training emits no predictions") },
  monitor: { log: (level, text) => console.log(level, text), scalars() {} },
  random: {
    bytes(len) {
      check(drawn + len <= random.length, "the plan draws more than its parameters");
      drawn += len;
      return random.slice(drawn - len, drawn);
    },
  },
};
// jco's types have the version in the names of imports, its code has not.
const named = Object.fromEntries(Object.entries(imports).map(([name, of]) => [`${PACKAGE}/${name}`, of]));
const core = (path) => new WebAssembly.Module(readFileSync(new URL(`transpiled/${path}`, import.meta.url)));

// A fresh instance for every call, as the contract says.
const call = (name) => instantiate(core, named).plan[name](argumentsOf);

const declaration = call("declare");
for (const { shape } of declaration.model) {
  model.push(new Uint8Array(4 * Array.from(shape, Number).reduce((product, size) => product * size, 1)));
}
call("init");
check(drawn === random.length, `the plan left ${random.length - drawn} bytes`);
const report = call("train");
console.log(`${report.steps} steps, ${report.rows} rows,`, report.metrics);
const got = declaration.model.map(({ name }, nth) => [name, Buffer.from(model[nth]).toString("hex")]);
writeFileSync(`${folder}/got.json`, JSON.stringify(Object.fromEntries(got)));
