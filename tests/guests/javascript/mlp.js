// A multilayer perceptron with the arguments, parameters and initial draws of plugins/mlp and its
// SGD, written from the contract alone. Tensors stay at the host and are numbers here.
import compute from "fedwasm:training-plan/compute@0.2.0";
import monitor from "fedwasm:training-plan/monitor@0.2.0";
import random from "fedwasm:training-plan/random@0.2.0";
import store from "fedwasm:training-plan/store@0.2.0";

// Elements of a tensor, as docs/operations.md bounds them.
const ELEMENTS_MAX = 2 ** 28;
// Elements that are drawn at a time.
const DRAWS = 1 << 14;

// The host's reasons are values of `access-error`, or of `compute-error`, which may have one inside.
function planError(thrown) {
  const error = thrown?.payload ?? thrown;
  const access = error?.tag === "access" ? error.val : error;
  if (access === "cancelled") return { tag: "cancelled" };
  if (typeof access === "string") return { tag: "internal", val: `the host refused: ${access}` };
  if (error?.tag === "mistake") return { tag: "internal", val: error.val };
  if (error?.tag === "bad-data") return { tag: "bad-data", val: error.val };
  // One of this file, or a bug in it.
  return error?.tag ? error : { tag: "internal", val: `${error} ${error?.stack ?? ""}` };
}

// A function of the plan whose errors are those of the contract.
function exported(f) {
  return (...args) => {
    try {
      return f(...args);
    } catch (thrown) {
      throw planError(thrown);
    }
  };
}

function invalid(text) {
  return { tag: "invalid-argument", val: text };
}

// --- arguments

const integer = (val) => ({ tag: "integer", val });
const real = (val) => ({ tag: "real", val });
const given = (val) => ({ tag: "value", val });

const ARGUMENTS = [
  ["model.n_features", "integer", { tag: "input-columns" }, "number of input columns"],
  ["model.n_classes", "integer", { tag: "target-classes" }, "number of classes"],
  ["model.hidden", "integer", given(integer(128)), "units of the hidden layer"],
  ["optimizer.lr", "real", given(real(0.01)), "learning rate, more than 0"],
  ["optimizer.momentum", "real", given(real(0)), "momentum, 0 <= momentum < 1"],
  ["optimizer.nesterov", "boolean", given({ tag: "boolean", val: false }), "whether it is Nesterov's"],
  ["optimizer.weight_decay", "real", given(real(0)), "weight decay, at least 0"],
];

// The host gives all of them, of these kinds.
function read(args) {
  return Object.fromEntries(args.map(([name, value]) => [name, value.val]));
}

// The parameters; draws are within 1/√fanIn, as PyTorch's.
function parameters(args) {
  const { "model.n_features": inputs, "model.hidden": hidden, "model.n_classes": classes } = read(args);
  for (const [rows, columns] of [[hidden, inputs], [classes, hidden]]) {
    if (rows < 1 || columns < 1 || rows * columns > ELEMENTS_MAX) {
      throw invalid(`a weight of shape [${rows}, ${columns}]: expected 1 to 2^28 elements`);
    }
  }
  return [
    { name: "hidden.weight", shape: [hidden, inputs], fanIn: inputs },
    { name: "hidden.bias", shape: [hidden], fanIn: inputs },
    { name: "output.weight", shape: [classes, hidden], fanIn: hidden },
    { name: "output.bias", shape: [classes], fanIn: hidden },
  ];
}

// --- operations, byte by byte from docs/operations.md

const RELU = Uint8Array.of(3, 13);
const LINEAR = Uint8Array.of(13);
// Of no log-probabilities, without an ignored class, the mean.
const CROSS_ENTROPY = Uint8Array.of(39, 0, 0, 2);

// Zeros, float32.
function zeros(shape) {
  const code = new DataView(new ArrayBuffer(2 + 4 * shape.length + 1 + 8));
  code.setUint8(1, shape.length);
  shape.forEach((size, axis) => code.setUint32(2 + 4 * axis, size, true));
  return compute.apply(new Uint8Array(code.buffer), []);
}

function forward(model, inputs) {
  const hidden = compute.apply(LINEAR, [inputs, model[0], model[1]]);
  const active = compute.apply(RELU, [hidden]);
  return compute.apply(LINEAR, [active, model[2], model[3]]);
}

function load(all, isTraining) {
  compute.setRecording(isTraining);
  return all.map((_, index) => {
    const parameter = compute.load("model", index);
    compute.wantGradient(parameter, isTraining);
    return parameter;
  });
}

function* batches() {
  for (let batch = compute.next(); batch !== null; batch = compute.next()) yield batch;
}

// --- the optimizer

function sgd(args) {
  const all = read(args);
  const rate = all["optimizer.lr"];
  const [momentum, nesterov] = [all["optimizer.momentum"], all["optimizer.nesterov"]];
  const weightDecay = all["optimizer.weight_decay"];
  if (!(rate > 0 && rate < Infinity)) throw invalid(`optimizer.lr is ${rate}, expected more than 0`);
  // The host checks the rest when it steps, but a round may have no batch.
  if (!(momentum >= 0 && momentum < 1) || (nesterov && momentum === 0)) {
    throw invalid("optimizer.momentum: expected 0 <= momentum < 1, and not 0 with Nesterov's");
  }
  if (!(weightDecay >= 0 && weightDecay < Infinity)) {
    throw invalid(`optimizer.weight_decay is ${weightDecay}, expected at least 0`);
  }
  return { rate, rule: { tag: "sgd", val: { momentum, nesterov, weightDecay } } };
}

// What it keeps: a momentum of each parameter, if there is one.
function kept(rule, all) {
  if (rule.val.momentum === 0) return [];
  return all.map(({ shape }) => {
    const momentum = zeros(shape);
    compute.keep(momentum);
    return momentum;
  });
}

// --- what the plan exports

function describe() {
  return {
    name: "mlp-javascript",
    version: "0.1.0",
    task: { tag: "classification" },
    arguments: ARGUMENTS.map(([name, kind, otherwise, doc]) => ({ name, kind, default: otherwise, doc })),
    dependencies: [],
  };
}

function declare(args) {
  sgd(args);
  const all = parameters(args);
  const model = all.map(({ name, shape }) => ({
    name, dtype: "float32", shape, trainable: true, scope: "shared",
  }));
  const inputs = [{ name: "inputs", dtype: "float32", shape: [all[0].fanIn] }];
  const targets = [{ name: "targets", dtype: "int64", shape: [] }];
  return { inputs, targets, model, auxIn: [], auxOut: [], state: [] };
}

// The upper 24 bits of four bytes each, as a number within [-1, 1), times the bound, in float32.
function init(args) {
  parameters(args).forEach(({ shape, fanIn }, index) => {
    const bound = Math.fround(1 / Math.fround(Math.sqrt(Math.fround(fanIn))));
    const len = shape.reduce((product, size) => product * size, 1);
    for (let from = 0; from < len; from += DRAWS) {
      const bytes = random.bytes(4 * Math.min(DRAWS, len - from));
      const values = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      for (let at = 0; at < bytes.length; at += 4) {
        const unit = (values.getUint32(at, true) >>> 8) / 8388608 - 1;
        values.setFloat32(at, unit * bound, true);
      }
      store.write("model", index, 4 * from, bytes);
    }
  });
}

// Means over batches, weighted by rows.
class Totals {
  rows = 0;
  sum = 0;

  add(loss, rows) {
    this.sum += loss * rows;
    this.rows += rows;
  }

  metrics() {
    return this.rows > 0 ? [["loss", this.sum / this.rows]] : [];
  }
}

// A host takes only so many; training goes on without.
function show(loss) {
  try {
    monitor.scalars([["loss", loss]]);
  } catch (thrown) {
    if ((thrown?.payload ?? thrown) !== "exhausted") throw thrown;
  }
}

function train(args) {
  const all = parameters(args);
  const { rate, rule } = sgd(args);
  const model = load(all, true);
  const momenta = kept(rule, all);
  const totals = new Totals();
  let steps = 0;
  for (const { rows, inputs, targets } of batches()) {
    const loss = compute.apply(CROSS_ENTROPY, [forward(model, inputs[0]), targets[0]]);
    const value = compute.item(loss);
    if (!Number.isFinite(value)) throw { tag: "non-finite", val: `a loss is ${value}` };
    totals.add(value, rows);
    show(value);
    compute.backward(loss);
    steps += 1;
    compute.step(rule, rate, steps, model, momenta);
  }
  model.forEach((parameter, index) => compute.save("model", index, parameter));
  return { steps, rows: totals.rows, metrics: [...totals.metrics(), ["optimizer.lr", rate]] };
}

function predict(args) {
  const model = load(parameters(args), false);
  for (const { index, inputs } of batches()) compute.emit(index, forward(model, inputs[0]));
}

function validate(args) {
  const model = load(parameters(args), false);
  const totals = new Totals();
  for (const { rows, inputs, targets } of batches()) {
    const loss = compute.apply(CROSS_ENTROPY, [forward(model, inputs[0]), targets[0]]);
    totals.add(compute.item(loss), rows);
  }
  return { steps: 0, rows: totals.rows, metrics: totals.metrics() };
}

export const plan = {
  describe,
  declare: exported(declare),
  init: exported(init),
  train: exported(train),
  predict: exported(predict),
  validate: exported(validate),
};
