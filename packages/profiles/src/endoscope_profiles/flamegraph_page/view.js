// What is drawn: frames, each with its width and, when asked for, the frames it is divided
// into. A frame's children are made only when it is wide enough to show them, since callees
// first has a frame for every caller of every stack.

class View {
  constructor(tree, measure, side, inverted) {
    this.tree = tree;
    this.measure = measure;
    this.side = side;
    this.compared = "base_bytes" in tree.own;
    this.inverted = inverted;
    this.own = tree.widths(measure, side);
    this.totals = tree.summed(this.own);
    this.root = { place: -1, parent: null, width: this.totals[0], node: 0 };
  }

  children(frame) {
    frame.children ??= this.divided(frame).sort((a, b) => b.width - a.width);
    return frame.children;
  }

  divided(frame) {
    return this.inverted ? this.callers(frame) : this.callees(frame);
  }

  callees(frame) {
    const children = [];
    for (let node = this.tree.first[frame.node]; node; node = this.tree.next[node]) {
      const width = this.totals[node];
      if (width > 0) children.push({ place: this.tree.place[node], parent: frame, width, node });
    }
    return children;
  }

  // An inverted frame has the nodes where its stacks end, and in `reached` how far up each of
  // them it has come.
  callers(frame) {
    const { ends, reached } = frame.ends ? frame : this.everyEnd();
    const byPlace = new Map();
    ends.forEach((end, at) => {
      const node = frame.ends ? this.tree.parent[reached[at]] : reached[at];
      if (node) this.join(byPlace, frame, end, node);
    });
    return [...byPlace.values()].filter((child) => child.width > 0);
  }

  join(byPlace, parent, end, node) {
    const place = this.tree.place[node];
    let child = byPlace.get(place);
    if (!child) {
      child = { place, parent, width: 0, ends: [], reached: [] };
      byPlace.set(place, child);
    }
    child.width += this.own[end];
    child.ends.push(end);
    child.reached.push(node);
  }

  everyEnd() {
    const columns = Object.values(this.tree.own);
    const ends = [];
    for (let node = 1; node < this.tree.size; node++) {
      if (columns.some((column) => column[node] > 0)) ends.push(node);
    }
    return { ends, reached: ends };
  }

  // The children that are too narrow to draw, as one frame that can be zoomed into.
  gathered(parent, children) {
    const width = children.reduce((sum, child) => sum + child.width, 0);
    return { place: -1, parent, width, children, gathers: children.length };
  }

  sum(frame, name) {
    if (frame.gathers) return frame.children.reduce((sum, child) => sum + this.sum(child, name), 0);
    if (!frame.ends) return this.tree.total(name)[frame.node];
    return frame.ends.reduce((sum, end) => sum + this.tree.own[name][end], 0);
  }

  amount(frame, side, measure) {
    return {
      value: this.sum(frame, `${side}_${measure}`),
      variance: this.sum(frame, `${side}_${measure}_variance`),
    };
  }

  difference(frame, measure) {
    const now = this.amount(frame, "target", measure);
    const before = this.amount(frame, "base", measure);
    return { value: now.value - before.value, variance: now.variance + before.variance };
  }

  // What is allocated in the frame itself, callers first.
  self(frame) {
    const own = (name) => this.tree.own[`target_${this.measure}${name}`][frame.node];
    return { value: own(""), variance: own("_variance") };
  }

  // The frame that the same path leads to, as far as it does, from another view's root.
  find(path) {
    let frame = this.root;
    for (const place of path) {
      const child = this.children(frame).find((candidate) => candidate.place === place);
      if (!child) break;
      frame = child;
    }
    return frame;
  }
}

function pathOf(frame) {
  const path = [];
  for (let above = frame; above.parent; above = above.parent) {
    if (above.place >= 0) path.unshift(above.place);
  }
  return path;
}
