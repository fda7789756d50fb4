// A square to draw on, with a mouse, a pen, a finger or keys. Strokes are kept as points, so that a
// drawing can be redrawn for a dark page, undone, and carried to another address.

export const SIZE = 280;
const PEN = 22;
const SCALE = 2;

const arc = (x, y, wide, high, from, to) => Array.from({ length: 25 }, (_, i) => {
  const angle = (from + ((to - from) * i) / 24) * Math.PI / 180;
  return [(x + wide * Math.cos(angle)) * SIZE, (y + high * Math.sin(angle)) * SIZE];
});
const line = (...points) => points.map(([x, y]) => [x * SIZE, y * SIZE]);

export const DIGITS = [
  [arc(0.5, 0.5, 0.2, 0.3, -90, 270)],
  [line([0.42, 0.3], [0.53, 0.19], [0.52, 0.8])],
  [[...arc(0.48, 0.35, 0.19, 0.17, 190, 380), ...line([0.3, 0.79], [0.72, 0.77])]],
  [[...arc(0.46, 0.34, 0.19, 0.15, 200, 440), ...arc(0.46, 0.64, 0.22, 0.16, -85, 160)]],
  [line([0.42, 0.2], [0.28, 0.55], [0.72, 0.54]), line([0.6, 0.28], [0.57, 0.82])],
  [[...line([0.68, 0.2], [0.37, 0.21], [0.34, 0.45]), ...arc(0.47, 0.6, 0.2, 0.18, 230, 500)]],
  [[...line([0.6, 0.18], [0.42, 0.36]), ...arc(0.48, 0.63, 0.17, 0.17, 200, 540)]],
  [line([0.28, 0.24], [0.7, 0.22], [0.44, 0.82])],
  [[...arc(0.5, 0.34, 0.15, 0.14, 90, 450), ...arc(0.5, 0.64, 0.19, 0.16, -90, 270)]],
  [[...arc(0.48, 0.36, 0.17, 0.16, 0, 360), ...line([0.63, 0.5], [0.6, 0.82])]],
];

const dark = matchMedia('(prefers-color-scheme: dark)');
const still = matchMedia('(prefers-reduced-motion: reduce)');

export class Pad {
  strokes = [];
  // The pad shows an example: the first touch starts afresh.
  #example = false;
  #at = [SIZE / 2, SIZE / 2];
  #down = false;
  #playing = 0;

  // `changed` is called whenever the picture has changed.
  constructor(canvas, cursor, changed) {
    this.canvas = canvas;
    this.cursor = cursor;
    this.changed = changed;
    canvas.width = canvas.height = SIZE * SCALE;
    canvas.addEventListener('pointerdown', (event) => this.#press(event));
    canvas.addEventListener('pointermove', (event) => this.#move(event));
    canvas.addEventListener('lostpointercapture', () => { this.#down = false; });
    canvas.addEventListener('keydown', (event) => this.#key(event));
    canvas.addEventListener('blur', () => { cursor.hidden = true; this.#down = false; });
    dark.addEventListener('change', () => this.#change());
    this.#paint();
  }

  get isEmpty() {
    return this.strokes.length === 0;
  }

  clear() {
    this.#stop();
    this.show([]);
  }

  undo() {
    this.#stop();
    this.show(this.strokes.slice(0, -1));
  }

  show(strokes) {
    this.strokes = strokes;
    this.#change();
  }

  // Draws an example as a hand would, or at once for people who asked for less motion.
  play(digit) {
    this.#stop();
    this.#example = true;
    const whole = DIGITS[digit].map(evenly);
    if (still.matches) return this.show(whole);
    const total = whole.reduce((sum, stroke) => sum + stroke.length, 0);
    const started = performance.now();
    const step = (now) => {
      let left = Math.ceil((now - started) / 700 * total);
      this.show(whole.flatMap((stroke) => {
        const part = left > 0 ? [stroke.slice(0, left)] : [];
        left -= stroke.length;
        return part;
      }));
      if (left < 0) this.#playing = requestAnimationFrame(step);
    };
    return step(started);
  }

  // The picture as a PNG without transparency: the model drops alpha, so the ground is painted.
  png() {
    return new Promise((resolve) => { this.canvas.toBlob(resolve, 'image/png'); });
  }

  // The drawing as text for an address, and back; text that is no drawing gives none.
  toText() {
    const few = (stroke) => stroke.filter((_, i) => i % 2 === 0 || i === stroke.length - 1);
    return this.strokes.map((stroke) => few(stroke).map((p) => p.map(Math.round).join('.')).join('_')).join('~');
  }

  static fromText(text) {
    if (!/^[\d._~-]{3,8000}$/.test(text)) return [];
    const strokes = text.split('~').map((stroke) => stroke.split('_').map((p) => p.split('.').map(Number)));
    return strokes.flat().every((p) => p.length === 2 && p.every(Number.isFinite)) ? strokes : [];
  }

  #stop() {
    cancelAnimationFrame(this.#playing);
    this.#example = false;
  }

  #begin(point) {
    if (this.#example) this.strokes = [];
    this.#stop();
    this.strokes.push([point]);
    this.#down = true;
    this.#change();
  }

  #press(event) {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.cursor.hidden = true;
    this.#begin(this.#place(event));
  }

  #move(event) {
    if (!this.#down || event.buttons === 0) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) this.strokes.at(-1).push(this.#place(each));
    this.#change();
  }

  #place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * SIZE / box.width, (event.clientY - box.top) * SIZE / box.height];
  }

  #key(event) {
    const step = event.shiftKey ? 2 : 10;
    const [dx, dy] = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key] ?? [0, 0];
    if (event.key === ' ') {
      if (this.#down) this.#down = false;
      else this.#begin([...this.#at]);
    } else if (event.key === 'Backspace') {
      this.undo();
    } else if (event.key === 'Delete') {
      this.clear();
    } else if (dx || dy) {
      this.#at = [this.#at[0] + dx, this.#at[1] + dy].map((v) => Math.max(0, Math.min(SIZE, v)));
      if (this.#down) {
        this.strokes.at(-1).push([...this.#at]);
        this.#change();
      }
    } else {
      return;
    }
    event.preventDefault();
    this.cursor.hidden = false;
    this.cursor.classList.toggle('down', this.#down);
    const scale = this.canvas.clientWidth / SIZE;
    this.cursor.style.transform = `translate(${this.#at[0] * scale}px, ${this.#at[1] * scale}px)`;
  }

  #change() {
    this.#paint();
    this.changed();
  }

  // The model reads both polarities, so the pad follows the page.
  #paint() {
    const pen = this.canvas.getContext('2d');
    pen.setTransform(SCALE, 0, 0, SCALE, 0, 0);
    pen.fillStyle = dark.matches ? '#000' : '#fff';
    pen.fillRect(0, 0, SIZE, SIZE);
    pen.strokeStyle = dark.matches ? '#fff' : '#000';
    Object.assign(pen, { lineWidth: PEN, lineCap: 'round', lineJoin: 'round' });
    for (const stroke of this.strokes) {
      pen.beginPath();
      pen.moveTo(...stroke[0]);
      if (stroke.length === 1) pen.lineTo(...stroke[0]);
      for (let i = 1; i < stroke.length; i += 1) {
        const [x, y] = stroke[i];
        const [nx, ny] = stroke[i + 1] ?? stroke[i];
        pen.quadraticCurveTo(x, y, (x + nx) / 2, (y + ny) / 2);
      }
      pen.stroke();
    }
  }
}

// Points 4 apart, so that a straight line takes as long to draw as a curve.
function evenly(stroke) {
  return stroke.flatMap(([x, y], i) => {
    const [px, py] = stroke[Math.max(0, i - 1)];
    const steps = Math.max(1, Math.round(Math.hypot(x - px, y - py) / 4));
    return Array.from({ length: steps }, (_, n) => [px + (x - px) * (n + 1) / steps, py + (y - py) * (n + 1) / steps]);
  });
}
