// Which places a search is about, and what the stacks hold that go through any of them.

class Search {
  // Throws a SyntaxError if `term` should be a regular expression and is none.
  constructor(view, term, regular) {
    this.view = view;
    const matches = regular ? matchesPattern(term) : matchesText(term);
    this.matched = view.tree.places.map((place) => matches(`${place.name} ${place.where}`));
    this.places = this.matched.filter(Boolean).length;
  }

  // A stack counts once, however many of its frames match.
  amount() {
    const { tree, own, measure, compared } = this.view;
    const inside = new Uint8Array(tree.size);
    const sides = compared ? ["target", "base"] : ["target"];
    const variances = sides.map((side) => tree.own[`${side}_${measure}_variance`]);
    const amount = { value: 0, variance: 0 };
    for (let node = 1; node < tree.size; node++) {
      inside[node] = inside[tree.parent[node]] || Number(this.matched[tree.place[node]]);
      if (!inside[node] || !own[node]) continue;
      amount.value += own[node];
      for (const variance of variances) amount.variance += variance[node];
    }
    return amount;
  }
}

function matchesText(term) {
  const wanted = term.toLowerCase();
  return (text) => text.toLowerCase().includes(wanted);
}

function matchesPattern(term) {
  const pattern = new RegExp(term, "i");
  return (text) => pattern.test(text);
}
