// Shows a recorded episode while the network runs live on its frames, beside what it said when it was recorded.
// The recordings, the network and onnxruntime-web are in the page itself, as texts of script elements that do not run.

const STACK = 4;
const SIDE = 84;
const FRAME = SIDE * SIDE;

const $ = (id) => document.getElementById(id);
const text = (id) => $(id).textContent;

/** Return the bytes of a base64 text. */
function bytes(encoded) {
  const raw = atob(encoded);
  const found = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) found[i] = raw.charCodeAt(i);
  return found;
}

/** Return what was deflated, by zlib ("deflate") or gzip. */
async function inflated(encoded, format) {
  const stream = new Blob([bytes(encoded)]).stream().pipeThrough(new DecompressionStream(format));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Return rows of `size` bytes that were stored as what differs from the row before. */
async function rows(encoded, size) {
  const found = await inflated(encoded, "deflate");
  for (let i = size; i < found.length; i++) found[i] ^= found[i - size];
  return (row) => found.subarray(row * size, (row + 1) * size);
}

/** An episode: pictures, frames, and what was said and done at each step. */
class Recording {
  static async open(data) {
    const recording = Object.assign(new Recording(), data);
    recording.picture = await rows(data.pictures, data.width * data.height);
    recording.frame = await rows(data.frames, FRAME);
    const values = new Float32Array(bytes(data.q_values).buffer);
    const count = data.actions.length;
    recording.said = (step) => values.subarray(step * count, (step + 1) * count);
    recording.colours = Uint32Array.from(data.palette, (colour) => {
      const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
      return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
    });
    let score = 0;
    recording.scores = data.rewards.map((reward) => (score += reward));
    return recording;
  }

  /** Return [4, 84, 84]: the frames up to a step, black before the episode's first one. */
  observation(step) {
    const found = new Uint8Array(STACK * FRAME);
    for (let i = 0; i < STACK; i++) {
      const from = step - STACK + 1 + i;
      if (from >= 0) found.set(this.frame(from), i * FRAME);
    }
    return found;
  }
}

/** Return a function from observations to outputs: the network in onnxruntime-web. */
async function network() {
  const source = new Blob([bytes(text("runtime"))], { type: "text/javascript" });
  const address = URL.createObjectURL(source);
  const ort = await import(address);
  URL.revokeObjectURL(address);
  ort.env.wasm.numThreads = 1; // more would need a server that isolates the page
  ort.env.wasm.wasmBinary = await inflated(text("runtime-wasm"), "gzip");
  const session = await ort.InferenceSession.create(bytes(text("model")), { executionProviders: ["wasm"] });
  return async (observation, game) => {
    const input = new ort.Tensor("uint8", observation, [1, STACK, SIDE, SIDE]);
    const name = `q_values_${game}`;
    return (await session.run({ observations: input }, [name]))[name].data;
  };
}

function best(values) {
  let at = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[at]) at = i;
  return at;
}

const named = (action) => action.replaceAll("_", " ").toLowerCase();
const shown = (value) => value.toFixed(Math.abs(value) < 10 ? 3 : 1).replace("-", "−");

/** The bars of one action. */
class Row {
  constructor(action) {
    this.element = document.createElement("li");
    this.element.innerHTML =
      '<span class="name"></span><span class="bars"><span class="bar"></span><span class="bar then"></span></span>' +
      '<span class="value"></span>';
    this.element.querySelector(".name").textContent = named(action);
    [this.live, this.then] = this.element.querySelectorAll(".bar");
    this.value = this.element.querySelector(".value");
  }

  show(live, said, low, high, isBest) {
    const size = (value) => (high > low ? (value - low) / (high - low) : 0);
    this.live.style.transform = `scaleX(${size(live)})`;
    this.then.style.transform = `scaleX(${size(said)})`;
    this.value.textContent = shown(live);
    this.element.classList.toggle("best", isBest);
  }
}

/** The page of one recording; `show` draws a step, of which one at a time is drawn. */
class View {
  constructor(recording, ask) {
    this.recording = recording;
    this.ask = ask;
    this.rows = recording.actions.map((action) => new Row(action));
    $("actions").replaceChildren(...this.rows.map((row) => row.element));
    $("screen").width = recording.width;
    $("screen").height = recording.height;
    $("at").max = recording.steps - 1;
    $("at").value = 0;
    this.same = new Map();
    this.difference = 0;
    this.seconds = 0;
    this.asked = 0;
  }

  async show(step) {
    const { recording } = this;
    const began = performance.now();
    const live = await this.ask(recording.observation(step), recording.game);
    this.seconds += (performance.now() - began) / 1000;
    this.asked += 1;
    const said = recording.said(step);
    paint($("screen"), recording.picture(step), recording.colours);
    paint($("seen"), recording.frame(step), GREYS);
    const all = [...live, ...said];
    const [low, high, chosen] = [Math.min(...all), Math.max(...all), best(live)];
    this.rows.forEach((row, i) => row.show(live[i], said[i], low, high, i === chosen));
    this.same.set(step, chosen === best(said));
    live.forEach((value, i) => (this.difference = Math.max(this.difference, Math.abs(value - said[i]))));
    this.tell(step, said);
  }

  tell(step, said) {
    const { recording } = this;
    const taken = recording.taken[step];
    $("at").value = step;
    $("where").textContent = `Step ${step + 1} of ${recording.steps}, score ${recording.scores[step]}`;
    const random = taken === best(said) ? "" : " (at random)";
    $("taken").textContent = named(recording.actions[taken]) + random;
    const agreed = [...this.same.values()].filter(Boolean).length;
    $("same").textContent = `${agreed} of ${this.same.size}`;
    $("difference").textContent = this.difference.toExponential(1).replace("-", "−");
    $("pace").textContent = `${((1000 * this.seconds) / this.asked).toFixed(1)} ms`;
  }
}

const GREYS = Uint32Array.from({ length: 256 }, (_, i) => ((255 << 24) | (i << 16) | (i << 8) | i) >>> 0);

function paint(canvas, indices, colours) {
  const image = new ImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < pixels.length; i++) pixels[i] = colours[indices[i]];
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Draws wanted steps one after the other, and plays when asked to. */
class Player {
  constructor(view) {
    this.view = view;
    this.playing = false;
    this.wanted = 0;
    this.busy = false;
  }

  async go(step) {
    this.wanted = step;
    if (this.busy) return;
    this.busy = true;
    try {
      for (let drawn = -1; drawn !== this.wanted; ) {
        drawn = this.wanted;
        await this.view.show(drawn);
      }
    } finally {
      this.busy = false;
    }
  }

  async play() {
    const { steps, steps_per_second: pace } = this.view.recording;
    this.set(true);
    if (this.wanted >= steps - 1) this.wanted = -1;
    while (this.playing && this.wanted < steps - 1) {
      const next = performance.now() + 1000 / pace;
      await this.go(this.wanted + 1);
      await new Promise((done) => setTimeout(done, Math.max(0, next - performance.now())));
    }
    this.set(false);
  }

  set(playing) {
    this.playing = playing;
    $("play").textContent = playing ? "Pause" : "Play";
  }
}

async function main() {
  const recordings = JSON.parse(text("recordings"));
  document.title = $("title").textContent = JSON.parse(text("name"));
  const ask = await network();
  let player = null;
  const choose = async (index) => {
    player?.set(false);
    const view = new View(await Recording.open(recordings[index]), ask);
    player = new Player(view);
    await player.go(0);
  };
  recordings.forEach(({ game }, i) => $("game").add(new Option(named(game), i)));
  $("games").hidden = recordings.length < 2;
  await choose(0);
  $("game").addEventListener("change", () => choose(Number($("game").value)));
  $("play").addEventListener("click", () => (player.playing ? player.set(false) : player.play()));
  $("at").addEventListener("input", () => player.go(Number($("at").value)));
  $("play").disabled = $("at").disabled = false;
  document.documentElement.dataset.state = "ready";
}

main().catch((error) => {
  $("problem").textContent = `The network does not run in this browser: ${error.message ?? error}`;
  $("problem").hidden = false;
  document.documentElement.dataset.state = "failed";
});
