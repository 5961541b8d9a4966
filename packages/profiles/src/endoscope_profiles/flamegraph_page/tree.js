// The stacks as a tree of arrays, a number per node. Node 0 is the root; a parent comes before
// its children. Places are what nodes stand for: functions, or lines of them.

const AMOUNTS = ["objects", "bytes", "objects_variance", "bytes_variance"];

class Tree {
  constructor(places, parent, place, own) {
    this.places = places;
    this.parent = parent;
    this.place = place;
    this.own = own; // name of a column to what ends at each node
    this.size = parent.length;
    this.totals = new Map();
    this.link();
  }

  // Children as lists that are linked through the nodes: no object per node.
  link() {
    this.first = new Int32Array(this.size);
    this.next = new Int32Array(this.size);
    for (let node = this.size - 1; node > 0; node--) {
      this.next[node] = this.first[this.parent[node]];
      this.first[this.parent[node]] = node;
    }
  }

  // Own values of a column, with those of all nodes below.
  total(name) {
    if (!this.totals.has(name)) this.totals.set(name, this.summed(this.own[name]));
    return this.totals.get(name);
  }

  summed(own) {
    const sums = Float64Array.from(own);
    for (let node = this.size - 1; node > 0; node--) sums[this.parent[node]] += sums[node];
    return sums;
  }

  // How wide each node is drawn for itself alone: what it holds, has grown or has shrunk by.
  widths(measure, side) {
    const now = this.own[`target_${measure}`];
    const before = this.own[`base_${measure}`];
    if (!before) return now;
    const sign = side === "grew" ? 1 : -1;
    return now.map((value, node) => Math.max(0, sign * (value - before[node])));
  }
}

// The tree of lines that the page's data has. Every stack keeps some frames of the one before
// it, outermost first, and adds its own, as nodes of their own.
function treeOfLines(data) {
  const parent = new Int32Array(data.nodes.length + 1);
  const ends = [];
  const path = [0];
  let node = 0;
  data.added.forEach((added, stack) => {
    path.length = data.kept[stack] + 1;
    for (let more = 0; more < added; more++) {
      node += 1;
      parent[node] = path.at(-1);
      path.push(node);
    }
    ends.push(node);
  });
  const place = Int32Array.from([-1].concat(data.nodes));
  return new Tree(linesOf(data), parent, place, ownOf(data, ends, parent.length));
}

function ownOf(data, ends, size) {
  const own = {};
  for (const side of data.base_bytes ? ["target", "base"] : ["target"]) {
    for (const amount of AMOUNTS) {
      const column = (own[`${side}_${amount}`] = new Float64Array(size));
      data[`${side}_${amount}`].forEach((value, stack) => (column[ends[stack]] += value));
    }
  }
  return own;
}

function linesOf(data) {
  return data.functions.map((name, frame) => {
    const file = data.strings[data.files[frame]];
    const line = data.lines[frame];
    return {
      name: data.strings[name] || "(unnamed)",
      where: line && file ? `${file}:${line}` : file,
      short: line && file ? `${file.split(/[/\\]/).pop()}:${line}` : "",
      group: data.groups[data.frame_groups[frame]],
    };
  });
}

// The same tree with a function's lines as one place: nodes that become alike are one.
function treeOfFunctions(data, lines) {
  const { places, placeOf } = functionsOf(data, lines.places);
  const known = new Map();
  const nodeOf = new Int32Array(lines.size);
  const parent = [0];
  const place = [-1];
  for (let node = 1; node < lines.size; node++) {
    const above = nodeOf[lines.parent[node]];
    const key = above * places.length + placeOf[lines.place[node]];
    if (!known.has(key)) {
      known.set(key, parent.length);
      parent.push(above);
      place.push(placeOf[lines.place[node]]);
    }
    nodeOf[node] = known.get(key);
  }
  const own = Object.fromEntries(
    Object.entries(lines.own).map(([name, column]) => [name, moved(column, nodeOf, parent.length)]),
  );
  return new Tree(places, Int32Array.from(parent), Int32Array.from(place), own);
}

function functionsOf(data, lines) {
  const known = new Map();
  const places = [];
  const placeOf = lines.map((line, frame) => {
    const key = `${data.functions[frame]} ${data.files[frame]} ${data.frame_groups[frame]}`;
    if (!known.has(key)) {
      known.set(key, places.length);
      places.push({ ...line, where: data.strings[data.files[frame]], short: "" });
    }
    return known.get(key);
  });
  return { places, placeOf };
}

function moved(column, nodeOf, size) {
  const sums = new Float64Array(size);
  column.forEach((value, node) => (sums[nodeOf[node]] += value));
  return sums;
}
