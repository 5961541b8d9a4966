// The graph itself, drawn by the library. It is given only what is wide enough to be seen, so
// that a profile of any size draws alike, and draws at once: the library lets new rectangles
// grow for a quarter of a second, which thousands of them do not do smoothly.

const ROW = 20;
const NARROWEST = 2; // pixels
const WIDEST_LEFT_OUT = 20; // pixels: about what is drawn, however many frames that makes
const MOST_FRAMES = 2500; // about a tenth of a second

class Drawing {
  constructor(element, { pointed, left }) {
    this.element = element;
    const tooltip = Object.assign(() => {}, {
      show: (_, datum) => pointed(datum.data.frame),
      hide: left,
    });
    this.chart = flameGraphLibrary
      .flamegraph()
      .cellHeight(ROW)
      .transitionDuration(0)
      .tooltip(tooltip)
      .getName((datum) => datum.data.label);
  }

  draw(view, zoomed, downwards) {
    this.width = this.element.clientWidth;
    const arranged = arrangedToFit(view, zoomed, this.width);
    const height = (arranged.depth + 1) * ROW;
    this.chart.width(this.width).height(height).inverted(downwards);
    this.chart.setColorMapper((datum) => fillOf(view, datum.data.frame));
    this.element.replaceChildren();
    flameGraphLibrary.select(this.element).datum(arranged.top).call(this.chart);
    this.finish(view, height);
    return arranged;
  }

  finish(view, height) {
    const svg = flameGraphLibrary.select(this.element).select("svg");
    svg.attr("height", height).attr("viewBox", `0 0 ${this.width} ${height}`);
    svg.attr("role", "tree").attr("aria-label", "Flame graph, a frame per item");
    svg.selectAll("g, rect, div").interrupt();
    this.frames = new Map();
    this.rows = [];
    svg.selectAll("g").each((datum, at, all) => this.finishFrame(view, datum, all[at]));
    this.rows.forEach((row) => row.sort((a, b) => a.__data__.x0 - b.__data__.x0));
  }

  finishFrame(view, datum, g) {
    const { frame, label } = datum.data;
    g.querySelector("rect").setAttribute("width", g.getAttribute("width"));
    g.querySelector("div").textContent = label;
    g.setAttribute("role", "treeitem");
    g.setAttribute("tabindex", "-1");
    g.setAttribute("aria-level", datum.depth + 1);
    g.setAttribute("aria-label", spokenOf(view, frame));
    this.frames.set(frame, g);
    (this.rows[datum.depth] ??= []).push(g);
  }

  // Marks what matches; `search` is null if nothing is searched for.
  mark(search) {
    for (const [frame, g] of this.frames) {
      g.toggleAttribute("data-match", Boolean(search?.matched[frame.place]));
    }
  }

  // The frame that the keyboard is at: the only one that Tab stops at.
  set current(frame) {
    this.frames.get(this.at)?.setAttribute("tabindex", "-1");
    this.at = frame;
    this.frames.get(frame)?.setAttribute("tabindex", "0");
  }

  focus(frame) {
    this.current = frame;
    this.frames.get(frame).focus();
  }

  has(frame) {
    return this.frames.has(frame);
  }

  reveal(frame) {
    this.frames.get(frame).scrollIntoView({ block: "nearest" });
  }

  frameOf(element) {
    return element.closest?.("g")?.__data__?.data.frame;
  }

  above() {
    return this.datum().parent?.data.frame;
  }

  below() {
    return this.datum().children?.[0].data.frame;
  }

  beside(step) {
    const row = this.rows[this.datum().depth];
    return row[row.indexOf(this.frames.get(this.at)) + step]?.__data__.data.frame;
  }

  nextMatch(step) {
    const matches = [...this.element.querySelectorAll("g[data-match]")];
    const at = matches.indexOf(this.frames.get(this.at));
    const next = at < 0 && step < 0 ? -1 : at + step;
    return matches.at(next % matches.length || 0)?.__data__.data.frame;
  }

  datum() {
    return this.frames.get(this.at).__data__;
  }
}

// Frames as the library wants them: from the root to the one that is zoomed into, each as wide
// as all, and what is visible below it.
function arrangedToFit(view, zoomed, width) {
  let narrowest = NARROWEST;
  let arranged = arrange(view, zoomed, width, narrowest);
  while (arranged.drawn > MOST_FRAMES && narrowest < WIDEST_LEFT_OUT) {
    narrowest *= 1.5;
    arranged = arrange(view, zoomed, width, narrowest);
  }
  for (let frame = zoomed.parent; frame; frame = frame.parent) {
    const datum = datumOf(view, frame);
    arranged.top = { ...datum, value: zoomed.width, fade: true, children: [arranged.top] };
    arranged.depth += 1;
    arranged.drawn += 1;
  }
  return arranged;
}

function arrange(view, zoomed, width, narrowest) {
  const top = datumOf(view, zoomed);
  const arranged = { top, narrowest, depth: 0, drawn: 1, leftOut: 0, leftOutWidth: 0 };
  const open = [[top, 0]];
  while (open.length) {
    const [datum, depth] = open.pop();
    datum.children = visible(view, datum.frame, (narrowest * zoomed.width) / width, arranged);
    arranged.drawn += datum.children.length;
    arranged.depth = Math.max(arranged.depth, depth);
    for (const child of datum.children) {
      if (!child.frame.gathers) open.push([child, depth + 1]);
      else arranged.depth = Math.max(arranged.depth, depth + 1);
    }
  }
  return arranged;
}

function visible(view, frame, narrowest, arranged) {
  const children = view.children(frame);
  const first = children.findIndex((child) => child.width < narrowest);
  if (first < 0) return children.map((child) => datumOf(view, child));
  const shown = children.slice(0, first);
  const gathered = view.gathered(frame, children.slice(first));
  arranged.leftOut += gathered.gathers;
  arranged.leftOutWidth += gathered.width;
  if (gathered.width >= narrowest) shown.push(gathered);
  return shown.map((child) => datumOf(view, child));
}

function datumOf(view, frame) {
  return { frame, value: frame.width, label: labelOf(view, frame) };
}

function fillOf(view, frame) {
  if (frame.gathers) return "url(#gathered)";
  if (view.compared) return fillOfLevel(view.side, levelOf(view, frame));
  if (frame.place < 0) return "var(--all)";
  const [kind, , shade] = view.tree.places[frame.place].group;
  return `var(--${kind}-${shade})`;
}

function fillOfLevel(side, level) {
  return level < 0 ? "var(--all)" : `var(--${side}-${level})`;
}
