// The page: what is chosen, and what keys and buttons do.

const byId = (id) => document.getElementById(id);
const chosen = (name) => document.querySelector(`input[name=${name}]:checked`).value;

class Page {
  constructor(data) {
    const lines = treeOfLines(data);
    this.trees = { lines, functions: treeOfFunctions(data, lines) };
    this.search = null;
    this.drawing = new Drawing(byId("chart"), {
      pointed: (frame) => this.tell(frame),
      left: () => this.tell(this.drawing.at),
    });
    const compared = "base_bytes" in data;
    document.documentElement.classList.add(compared ? "two" : "one");
    byId("side").hidden = !compared;
    byId("graph").hidden = byId("theme").hidden = false;
    this.listen();
    this.look();
  }

  // Look at the profile anew, as the buttons say, and stay where we were as far as that goes.
  look() {
    const tree = this.trees[chosen("grain")];
    const inverted = chosen("order") === "callees";
    const same = this.view?.tree === tree && this.view.inverted === inverted;
    const path = same ? pathOf(this.zoomed) : [];
    this.view = new View(tree, chosen("measure"), chosen("side"), inverted);
    this.seek();
    this.zoom(this.view.find(path));
    showLegend(byId("legend"), this.view);
  }

  zoom(frame) {
    this.zoomed = frame;
    byId("reset").disabled = frame === this.view.root;
    this.draw(frame);
  }

  // Draw anew and go to a frame, or to the one that is zoomed into if that is not drawn now.
  draw(at = this.drawing.at) {
    const hadFocus = byId("chart").contains(document.activeElement);
    const downwards = chosen("direction") === "down";
    const arranged = this.drawing.draw(this.view, this.zoomed, downwards);
    this.drawing.mark(this.search);
    byId("drawn").textContent = drawnOf(this.view, arranged);
    this.go(this.drawing.has(at) ? at : this.zoomed, hadFocus);
    if (!downwards) this.drawing.reveal(this.zoomed);
  }

  go(frame, focused = true) {
    if (!frame) return;
    if (focused) this.drawing.focus(frame);
    else this.drawing.current = frame;
    this.tell(frame);
  }

  tell(frame) {
    byId("what").replaceChildren(
      Object.assign(document.createElement("strong"), { textContent: nameOf(this.view, frame) }),
      ` ${whereOf(this.view, frame)}`,
    );
    byId("amounts").textContent = amountsOf(this.view, frame);
    byId("more").textContent = moreOf(this.view, frame);
  }

  seek() {
    const term = byId("term").value;
    this.search = null;
    byId("term").removeAttribute("aria-invalid");
    byId("found").textContent = "";
    if (!term) return;
    try {
      this.search = new Search(this.view, term, byId("regular").checked);
      byId("found").textContent = foundOf(this.view, this.search);
    } catch (error) {
      byId("term").setAttribute("aria-invalid", "true");
      byId("found").textContent = error.message;
    }
  }

  listen() {
    byId("tools").addEventListener("change", (event) => {
      if (event.target.name === "direction") this.draw();
      else if (event.target.type === "radio") this.look();
      else this.searched();
    });
    byId("term").addEventListener("input", () => this.searched());
    byId("reset").addEventListener("click", () => this.zoom(this.view.root));
    byId("theme").addEventListener("click", changeTheme);
    byId("keys").addEventListener("click", changeHelp);
    document.addEventListener("keydown", (event) => this.press(event));
    this.listenToFrames(byId("chart"));
  }

  // The library's own listeners would zoom in what is drawn: it has not all of the profile.
  listenToFrames(chart) {
    chart.addEventListener(
      "click",
      (event) => {
        event.stopPropagation();
        const frame = this.drawing.frameOf(event.target);
        if (frame) this.zoom(frame);
      },
      true,
    );
    chart.addEventListener("focusin", (event) => {
      const frame = this.drawing.frameOf(event.target);
      if (frame) this.go(frame, false);
    });
    new ResizeObserver(() => {
      if (chart.clientWidth !== this.drawing.width) this.draw();
    }).observe(chart);
  }

  searched() {
    this.seek();
    this.drawing.mark(this.search);
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target === byId("term");
    const action = typing ? this.whileTyping(event.key) : this.action(event);
    if (!action) return;
    event.preventDefault();
    action();
  }

  whileTyping(key) {
    if (key === "Enter") return () => this.go(this.drawing.nextMatch(1));
    return key === "Escape" ? () => this.escape() : null;
  }

  action(event) {
    const inChart = byId("chart").contains(event.target) || event.target === document.body;
    return (inChart && this.moves()[event.key]) || this.commands()[event.key];
  }

  moves() {
    const { drawing } = this;
    const [up, down] = chosen("direction") === "down" ? ["above", "below"] : ["below", "above"];
    return {
      ArrowUp: () => this.go(drawing[up]()),
      ArrowDown: () => this.go(drawing[down]()),
      ArrowLeft: () => this.go(drawing.beside(-1)),
      ArrowRight: () => this.go(drawing.beside(1)),
      Home: () => this.go(this.view.root),
      Enter: () => this.zoom(drawing.at),
      " ": () => this.zoom(drawing.at),
      Backspace: () => this.zoom(this.zoomed.parent ?? this.zoomed),
    };
  }

  commands() {
    return {
      "/": () => byId("term").select(),
      "?": changeHelp,
      Escape: () => this.escape(),
      n: () => this.go(this.drawing.nextMatch(1)),
      N: () => this.go(this.drawing.nextMatch(-1)),
      i: () => choose("order"),
      l: () => choose("grain"),
      o: () => choose("measure"),
      g: () => this.view.compared && choose("side"),
      d: () => choose("direction"),
      t: changeTheme,
    };
  }

  escape() {
    if (byId("term").value) {
      byId("term").value = "";
      this.searched();
    } else {
      this.zoom(this.view.root);
      this.go(this.view.root);
    }
  }
}

function choose(name) {
  document.querySelector(`input[name=${name}]:not(:checked)`).click();
}

function changeHelp() {
  const { hidden } = byId("help");
  byId("help").hidden = !hidden;
  byId("keys").setAttribute("aria-expanded", String(hidden));
}

function changeTheme() {
  const themes = ["automatic", "light", "dark"];
  const { dataset } = document.documentElement;
  dataset.theme = themes[(themes.indexOf(dataset.theme ?? "automatic") + 1) % themes.length];
  byId("theme").textContent = `Theme: ${dataset.theme}`;
}

function drawnOf(view, { drawn, leftOut, leftOutWidth, narrowest }) {
  if (!view.root.width) return `Nothing ${view.side} here.`;
  const some = `Frames drawn: ${count(drawn)}.`;
  if (!leftOut) return some;
  const held = `${WRITTEN[view.measure](leftOutWidth)}, ${share(leftOutWidth, view.root.width)} of all`;
  return (
    `${some} Narrower than ${narrowest.toFixed(1)} pixels: ${count(leftOut)} (${held}), gathered ` +
    "in striped blocks where there is room for one. Zoom in to see them."
  );
}

function foundOf(view, search) {
  if (!search.places) return "No frame matches.";
  const amount = search.amount();
  const what = chosen("grain").slice(0, -1);
  const match = search.places === 1 ? `${what} matches` : `${what}s match`;
  const hold = view.compared ? `${view.side} by` : "hold";
  const held = `${hold} ${withError(view.measure, amount)}`;
  const part = share(amount.value, view.root.width);
  return `${count(search.places)} ${match}: stacks through them ${held}, ${part} of all. n and N go on to the next.`;
}

function showLegend(list, view) {
  list.replaceChildren(...(view.compared ? changesLegend(view) : kindsLegend(view)));
}

function changesLegend(view) {
  const levels = CHANGES[view.side].map((text, level) =>
    legendItem(fillOfLevel(view.side, level), `${view.side}: ${text}`),
  );
  return [...levels, legendItem(fillOfLevel(view.side, -1), `${view.side}: ${MIXED}`)];
}

// Whose code the innermost frames are, which is where the memory was asked for.
function kindsLegend(view) {
  const { tree, own, measure, root } = view;
  const sums = new Map();
  for (const { group } of tree.places) sums.set(group[0], 0);
  for (let node = 1; node < tree.size; node++) {
    const [kind] = tree.places[tree.place[node]].group;
    sums.set(kind, sums.get(kind) + own[node]);
  }
  return Object.keys(KINDS)
    .filter((kind) => sums.has(kind))
    .map((kind) =>
      legendItem(`var(--${kind}-0)`, `${KINDS[kind]}: ${share(sums.get(kind), root.width)} of ${measure}`),
    );
}

function legendItem(fill, text) {
  const item = document.createElement("li");
  const swatch = document.createElement("span");
  swatch.style.background = fill;
  item.append(swatch, text);
  return item;
}

(() => {
  const data = JSON.parse(byId("data").textContent);
  if (data.nodes.length) new Page(data);
})();
