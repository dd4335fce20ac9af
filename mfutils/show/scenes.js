// The panels. A scene gets its data and returns a function from the state of knobs and handles to squares of layers, and
// to a sentence. Exact velocities and networks are computed here, as they are asked for.
const MANY = 1500, TRIANGLE = [-0.2, 1.12, -0.12, 1.2]  // points of a crowd; view of the (r, t) triangle
const two = number => number.toFixed(2).replace("-", "−")
const pair = ([x, y]) => `(${two(x)}, ${two(y)})`
const flat = values => Float64Array.from(values.flat(2))

// Random numbers that are the same in every browser (mulberry32), uniform or normal.
function dice(seed) {
  let state = seed * 7919
  const uniform = () => {
    state = state + 0x6D2B79F5 | 0
    let mixed = Math.imul(state ^ state >>> 15, 1 | state)
    mixed = mixed + Math.imul(mixed ^ mixed >>> 7, 61 | mixed) ^ mixed
    return ((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32
  }
  return { uniform, normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()) }
}
const noise = (n, seed = 1) => Float64Array.from({ length: 2 * n }, dice(seed).normal)
function samples(dist, n, seed = 2) {
  const { uniform, normal } = dice(seed)
  return flat(Array.from({ length: n }, () => {
    if (dist.board) {
      const row = Math.floor(4 * uniform()), column = 2 * Math.floor(2 * uniform()) + row % 2
      return [column - 2 + uniform(), row - 2 + uniform()]
    }
    const k = Math.floor(dist.sd.length * uniform())
    return dist.means[k].map(mean => mean + dist.sd[k] * normal())
  }))
}

// The exact path from (x, y) at time t to time r, as one line; its times are even in √t.
function curve(v, x, y, t = 1, r = 0, steps = 48) {
  const time = i => (Math.sqrt(t) + (Math.sqrt(r) - Math.sqrt(t)) * i / steps) ** 2, line = [x, y]
  for (let i = 0; i < steps; i++) line.push(...[x, y] = M.flow(v, x, y, time(i + 1), time(i), 1))
  return line
}
const arrowsAlong = states => Array.from({ length: states.length / 2 - 1 }, (_, i) =>
  [states[2 * i], states[2 * i + 1], states[2 * i + 2] - states[2 * i], states[2 * i + 3] - states[2 * i + 1]]).flat()
const rows = (xy, size = 2) => Array.from({ length: xy.length / size }, (_, i) => xy.slice(size * i, size * i + size))
const lines = bundles => flat(bundles.map(line => [...line, NaN, NaN]))
const rms = (a, b) => Math.sqrt(a.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0) / (a.length / 2))
const clipped = (value, low, high) => Math.min(high, Math.max(low, value))

// A triangle to choose r ≤ t in. Its corner at the top left is one step from noise to data, its slope is r = t.
function triangle([r, t], layers = [], step = 0.01) {
  const move = (x, y) => {
    const [from, to] = x > y ? [(x + y) / 2, (x + y) / 2] : [x, y]
    return { rt: [from, to].map(s => Math.round(clipped(s, 0, 1) / step) * step) }
  }
  return { title: "which interval", size: 0.55, view: TRIANGLE, alt: "The triangle of all r ≤ t", layers: [...layers,
    { as: "lines", color: "ink", xy: [0, 0, 0, 1, 1, 1, 0, 0] },
    { as: "text", xy: [0, 0.5], text: "t", shift: [-8, 5] }, { as: "text", xy: [0.5, 1], text: "r", shift: [0, -8] },
    { as: "text", xy: [0.6, 0.46], text: "r = t", shift: [8, 8] }],
  handles: [{ name: "interval r, t", at: [r, t], step, move, color: "mean_flow", says: `r ${two(r)}, t ${two(t)}` }] }
}

const SCENES = {
  // Travellers on their roads, or a crowd in the field; the exact velocity, and one traveller to be dragged.
  field({ dist }, { later }) {
    const { v } = M.field(dist), eps = noise(3000), x = samples(dist, 3000), side = 13, TIMES = 40
    const crowd = () => ({ described: dist, solver: "jump", points: eps.slice(0, 1200), times: M.even(TIMES), steps: 2, every: true })
    return ({ t, who, z }) => {
      const onRoads = eps.map((e, i) => (1 - t) * x[i] + t * e), tiles = new Set()
      for (const [a, b] of rows(onRoads)) tiles.add(`${Math.floor((a / 6 + 0.5) * side)} ${Math.floor((b / 6 + 0.5) * side)}`)
      const arrows = []
      for (let i = 0; i < side; i++) for (let j = 0; j < side; j++) if (tiles.has(`${i} ${j}`)) {
        const [a, b] = [i, j].map(k => ((k + 0.5) / side - 0.5) * 6)
        arrows.push(a, b, ...v(a, b, Math.max(t, 0.02)).map(w => -w / 8))
      }
      const states = who && later("crowd", "", crowd), k = Math.min(TIMES - 1, Math.floor((1 - t) * TIMES)), rest = (1 - t) * TIMES - k
      const inField = states && states.slice(k * 2400, (k + 1) * 2400).map((a, i) => a + rest * (states[(k + 1) * 2400 + i] - a))
      const at = M.flow(v, ...z, t, 1), move = (a, b) => ({ z: M.flow(v, a, b, 1, Math.max(t, 0.02), 50).map(c => clipped(c, -4, 4)) })
      const line = curve(v, ...z)
      return { words: `t = ${two(t)}. Arrows: −v, the way points move toward data, at an eighth of their length. The traveller is at ` +
                      `${pair(at)} and ends at ${pair(line.slice(-2))}.`, squares: [{
        title: who ? "a crowd that follows the field" : "travellers on straight roads", color: "data", layers: [
          { as: "points", color: "data", alpha: 0.5, xy: who ? inField || [] : onRoads.slice(0, 2400) },
          { as: "arrows", color: "ink", width: 1.2, xy: arrows },
          { as: "lines", color: "flow_matching", width: 2.5, xy: line }],
        handles: [{ name: "a traveller", at, move, color: "flow_matching" }] }] }
    }
  },

  // Roads through one point, each as dark as it is likely, and the mean of all.
  roads({ dist, x }) {
    const { v } = M.field(dist), data = rows(x)
    return ({ t, z }) => {
      const eps = data.map(point => point.map((part, axis) => (z[axis] - (1 - t) * part) / t))
      const logs = eps.map(([a, b]) => -(a * a + b * b) / 2), most = Math.max(...logs), likely = logs.map(log => Math.exp(log - most))
      const mean = v(...z, t), share = 100 / likely.reduce((sum, weight) => sum + weight)
      return { words: `At t = ${two(t)} the mean velocity here is v = ${pair(mean)}. The arrow is −v. The likeliest of these ` +
                      `${data.length} roads has ${share.toFixed(0)} % of their weight.`, squares: [{
        title: "roads through one point", color: "data", layers: [
          { as: "lines", color: "data", alpha: likely.map(weight => 0.06 + 0.94 * weight), xy: lines(data.map((point, i) => [...point, ...eps[i]])) },
          { as: "points", color: "data", size: 2.5, xy: x },
          { as: "arrows", color: "flow_matching", width: 4, xy: [...z, ...mean.map(w => -w)] }],
        handles: [{ name: "the place", at: z, move: (a, b) => ({ z: [a, b] }) }] }] }
    }
  },

  // Euler's steps or the midpoint rule's over exact paths, all by the exact velocity.
  solvers({ dist, starts, steps }) {
    const exact = M.field(dist)
    return ({ n, solver, z }) => {
      const name = ["Euler", "midpoint"][solver], all = [z, ...starts], count = steps[n]
      const states = all.map(point => M.path(M.SOLVERS[name](exact), ...point, M.even(count)))
      const paths = all.map(point => curve(exact.v, ...point)), ends = states.map(line => line.slice(-2))
      const miss = rms(flat(ends), flat(paths.map(line => line.slice(-2))))
      return { words: `From ${pair(z)} and its neighbours, ${count} ${count > 1 ? "steps" : "step"} by ${name}, ${count * (solver + 1)} evaluations of the exact velocity; ` +
                      `they miss the true ends by ${two(miss)} (rms).`, squares: [{
        title: `${name}, steps: ${count}`, color: "flow_matching", layers: [
          { as: "lines", color: "noise", width: 1.5, xy: lines(paths) },
          { as: "points", color: "noise", size: 3.5, xy: flat(starts) },
          { as: "arrows", color: "flow_matching", width: 1.8, xy: states.flatMap(arrowsAlong) },
          { as: "points", color: "data", size: 4, xy: flat(paths.map(line => line.slice(-2))) },
          { as: "points", color: "flow_matching", size: 4, xy: flat(ends) }],
        handles: [{ name: "a noise point", at: z, move: (a, b) => ({ z: [a, b] }) }] }] }
    }
  },

  // One path, and the chord between two of its points.
  chord({ dist, start }) {
    const { v } = M.field(dist), K = 400, line = timed(v, start, K), on = s => at(line, s), view = around(line)
    const nearest = (a, b) => rows(line).map(([x, y], i) => [Math.hypot(x - a, y - b), 1 - i / K]).reduce((p, q) => q[0] < p[0] ? q : p)[1]
    return ({ rt: [r, t] }) => {
      const zt = on(t), zr = on(r), chord = zt.map((part, axis) => part - zr[axis]), u = t > r ? chord.map(part => part / (t - r)) : v(...zt, Math.max(t, M.T_MIN))
      const ofT = s => ({ rt: [r, clipped(s, r, 1)] }), ofR = s => ({ rt: [clipped(s, 0, t), t] })
      return { words: t > r ? `r = ${two(r)}, t = ${two(t)}: z_t − z_r = ${pair(chord)}, so u = ${pair(u)}.`
                            : `r = t = ${two(t)}: the chord has shrunk, and u is the velocity v = ${pair(u)}.`, squares: [{
        title: "one path, and its chord", color: "mean_flow", view, layers: [
          { as: "lines", color: "noise", xy: line }, { as: "lines", color: "data", width: 4, xy: stretch(line, r, t) },
          { as: "arrows", color: "mean_flow", width: 4, xy: [...zr, ...chord] },
          t - r < 0.02 && { as: "arrows", color: "flow_matching", width: 3, xy: [...zt, ...u.map(part => 0.2 * part)] },
          { as: "text", xy: zt, text: "z_t", shift: [-14, 18] }, { as: "text", xy: zr, text: "z_r", shift: [14, -8] }],
        handles: [{ name: "z at time t", at: zt, says: `t ${two(t)}`, color: "noise", move: (a, b) => ofT(nearest(a, b)), nudge: k => ofT(t + 0.02 * k) },
                  { name: "z at time r", at: zr, says: `r ${two(r)}`, color: "data", move: (a, b) => ofR(nearest(a, b)), nudge: k => ofR(r + 0.02 * k) }] }] }
    }
  },

  // The chord from a fixed z_r swings while t grows by dt. Where each choice of tangents sends its tip, by the exact u.
  swing({ dist, start, r, dt, tangents }) {
    const { v, u } = M.field(dist), line = timed(v, start, 400), view = around(line), h = 1e-4
    const colors = ["ink", "flow_matching", "self_distilled_mean_flow", "improved_mean_flow"]
    return ({ t }) => {
      const z = at(line, t), next = at(line, Math.min(1, t + dt)), zr = at(line, r), velocity = v(...z, t), now = u(...z, r, t), far = t - r
      const tips = tangents.map(([ofR, ofT]) => {
        const moved = k => u(z[0] + k * velocity[0], z[1] + k * velocity[1], r + k * ofR, t + k * ofT), [p, m] = [moved(h), moved(-h)]
        return now.map((part, axis) => (next === z ? 0 : dt) * (part + far * (p[axis] - m[axis]) / (2 * h)))
      })
      const misses = tips.map(tip => Math.hypot(...z.map((part, axis) => part + tip[axis] - next[axis])))
      const layers = [{ as: "lines", color: "noise", xy: line },
        { as: "arrows", color: "pale", width: 3, xy: [...zr, ...z.map((part, axis) => part - zr[axis])] },
        { as: "arrows", color: "mean_flow", width: 3, xy: [...zr, ...next.map((part, axis) => part - zr[axis])] },
        ...tips.map((tip, i) => ({ as: "arrows", color: colors[i], width: 2.5, xy: [...z, ...tip] })).reverse()]
      const labels = tips.map((tip, i) => ({ as: "text", color: colors[i], xy: z.map((part, axis) => part + tip[axis]), text: NAMES(tangents[i]),
        shift: [tip[0], -tip[1]].map((part, axis) => 12 * part / Math.hypot(...tip) + 5 * axis) }))
      const reach = 1.4 * Math.max(...tips.map(tip => Math.hypot(...tip)), 0.02)
      return { words: `t = ${two(t)}. The tip of the arrow misses the new tip: ` +
                      tangents.map((name, i) => `${NAMES(name)} by ${misses[i].toFixed(3)}`).join(", ") + ".", squares: [
        { title: "old chord (pale), new chord (orange)", color: "mean_flow", view, layers: [...layers,
          { as: "text", xy: z, text: "z_t", shift: [-14, 18] }, { as: "text", xy: zr, text: "z_r" }] },
        { title: "the tip, enlarged", view: [z[0] - reach, z[0] + reach, z[1] - reach, z[1] + reach], layers: [...layers, ...labels] }] }
    }
  },

  // Methods by evaluations: choose a cell. Samples by networks, computed here, beside the target.
  comparison({ data, methods, columns, texts, about }, { later, shared }) {
    const z = noise(MANY), targets = data.map(({ dist }) => samples(dist, MANY))
    return ({ which, cell }) => {
      const row = Math.floor(cell / columns.length), nfe = columns[cell % columns.length], { label, color, solver } = methods[row]
      const { networks } = data[which], described = networks[networks[row]] ?? networks[row]  // the place of another, or its own
      const net = typeof described == "string" ? shared(described) : described
      const said = texts[which][cell], points = said && net && later("samples", `${which} ${cell}`, () => ({ described: net, solver, points: z,
        times: M.even(solver == "midpoint" ? nfe / 2 : nfe) }))
      return { words: `${data[which].name}: ${label}, ${nfe} NFE, ${said ? `${about} ${said}` : "not made"}.`, squares: [
        { title: `${label}, ${nfe} NFE`, color, layers: [{ as: "points", color, xy: said ? points ?? z : [] }] },
        { title: "target", color: "data", layers: [{ as: "points", color: "data", xy: targets[which] }] }],
      cells: { key: "cell", rows: methods.map(method => method.label), columns: columns.map(n => `${n} NFE`), texts: texts[which] } }
    }
  },

  // Crowds or images that were made before, chosen by knobs: in each square the item at the sum of position × stride.
  choices({ squares, words, by, matrix }) {
    const index = (strides, state) => Object.entries(strides).reduce((sum, [key, stride]) => sum + stride * state[key], 0)
    const own = squares.map(({ items }) => items.shape ? rows(items, items.length / items.shape[0]) : items.same)
    const items = own.map(each => own[each] ?? each)
    return state => {
      const chosen = squares.map(square => index(square.by, state)), titles = squares.map(({ titles }, i) => titles[chosen[i] % titles.length])
      return { cells: matrix, words: words[index(by, state)].replace(/\{(\d)\}/g, (_, i) => titles[i]),  // {0} is the first square's title
        squares: squares.map((square, i) => ({ ...square, title: titles[i], layers: [{ ...square, xy: items[i][chosen[i]] }] })) }
    }
  },

  // A map of errors over the plane for every r ≤ t; the triangle is coloured by their rms.
  error({ errors, rms, levels }) {
    const side = levels + 1, each = rows(errors, errors.length / errors.shape[0]), step = 1 / levels
    const number = (i, j) => j * (j + 1) / 2 + i, worst = Math.max(...rms)
    const tiles = Float64Array.from({ length: side * side }, (_, k) => k % side <= Math.floor(k / side) ? rms[number(k % side, Math.floor(k / side))] : NaN)
    return ({ rt }) => {
      const [i, j] = rt.map(s => Math.round(s * levels)), [r, t] = [i / levels, j / levels], error = rms[number(i, j)]
      return { words: `r = ${two(r)}, t = ${two(t)}: the learned u is off by ${error.toFixed(3)} (rms over the particles). Yellow: 1 or more.`, squares: [
        { title: `error of u, rms ${error.toFixed(3)}`, color: "mean_flow", layers: [{ as: "tiles", xy: each[number(i, j)] }] },
        triangle([r, t], [{ as: "tiles", xy: tiles, highest: worst, view: [-step / 2, 1 + step / 2, -step / 2, 1 + step / 2] }], step)] }
    }
  },

  // A network in your hand: noise with a grid and a patch, and where they are at r after jumps from t.
  explore({ described, color, steps }, { later }) {
    const z = noise(900), ticks = M.even(12, -2.4, 2.4), fine = M.even(40, -2.4, 2.4), own = M.field(described)
    const grid = lines([...ticks.map(x => fine.flatMap(y => [x, y])), ...ticks.map(y => fine.flatMap(x => [x, y]))]), both = flat([[...z], [...grid]])
    return ({ rt: [r, t], n, p }) => {
      const times = [...t < 1 ? [1] : [], ...M.even(steps[n], t, r)], solver = described.layers?.[0][0].shape[1] == 3 ? "Euler" : "jump"
      const ends = later("both", `${r} ${t} ${n}`, () => ({ described, solver, points: both, times })) ?? both
      const patch = M.even(40, 0, 2 * Math.PI).flatMap(angle => [p[0] + 0.25 * Math.cos(angle), p[1] + 0.25 * Math.sin(angle)])
      const one = (x, y) => M.path(M.SOLVERS[solver](own), x, y, times), image = rows(patch).flatMap(([x, y]) => one(x, y).slice(-2))
      const states = one(...p), grown = area(image) / area(patch)
      const sheet = (xy, wheel, title, ring, handles) => ({ title, color, handles, layers: [
        { as: "lines", color: "noise", width: 0.8, alpha: 0.7, xy: xy.slice(z.length) }, { as: "points", wheel, size: 1.7, xy: xy.slice(0, z.length) },
        { as: "lines", color: "ink", width: 2.5, xy: ring }, title != "noise" && { as: "arrows", color: "ink", width: 1.5, xy: arrowsAlong(states) }] })
      return { words: `The patch lands at ${pair(states.slice(-2))}: from noise${t < 1 ? ` to t = ${two(t)}, then` : ""} to r = ${two(r)} in ${steps[n]} ${steps[n] > 1 ? "steps" : "step"}. The ring ` +
                      (grown < 0 ? "is folded over: its image is turned inside out." : `becomes ${two(grown)} times as large in area.`), squares: [
        sheet(both, z, "noise", patch, [{ name: "a patch of noise", at: p, move: (x, y) => ({ p: [x, y] }) }]), sheet(ends, z, `at r = ${two(r)}`, image)] }
    }
  },

  // One digit between four, by its place between them: the images on a grid are blended.
  between({ sheets, side, grid, corners, turns }) {
    const all = rows(sheets, side * side)
    return ({ p, which, turn }) => {
      const [a, b] = [p[0], 1 - p[1]].map(share => clipped(share * (grid - 1), 0, grid - 1 - 1e-6)), [i, j] = [Math.floor(a), Math.floor(b)]
      const first = (which * sheets.shape[1] + turn) * grid * grid, image = (k, l) => all[first + (j + l) * grid + i + k]
      const weigh = (k, l) => (k ? a - i : 1 - a + i) * (l ? b - j : 1 - b + j)
      const blend = image(0, 0).map((_, q) => [0, 1].reduce((sum, k) => sum + weigh(k, 0) * image(k, 0)[q] + weigh(k, 1) * image(k, 1)[q], 0))
      const wide = grid * (side + 1), unit = side + 1
      return { words: `Between ${corners[which]}, ${Math.round(100 * p[0])} % of the way to the right and ${Math.round(100 * p[1])} % up; ` +
                      `the noise turned by ${turns[turn]}°.`, squares: [
        { title: "one step each, between four classes", color: "mean_flow", view: [-1, wide, -wide, 1], handles: [{ name: "a place between four digits", color: "mean_flow",
          at: [p[0] * (grid - 1) * unit + side / 2, -(1 - p[1]) * (grid - 1) * unit - side / 2], move: (x, y) => ({
            p: [clipped((x - side / 2) / (grid - 1) / unit, 0, 1), clipped(1 + (y + side / 2) / (grid - 1) / unit, 0, 1)] }) }],
          layers: [{ as: "images", side, columns: grid, xy: flat(all.slice(first, first + grid * grid).map(part => [...part])) }] },
        { title: "here", size: 0.6, view: [-0.5, side + 0.5, -side - 0.5, 0.5], layers: [{ as: "images", side, columns: 1, xy: blend }] }] }
    }
  },

  // The front page: steps along a velocity against one jump by an average velocity, from the same noise.
  race({ data, steps, solvers }, { later, shared }) {
    return ({ which, n, solver, z, rt: [r, t], seed }) => {
      const [v, u] = data[which].networks.map(shared), points = noise(1200, seed + 1), count = steps[n], exact = M.field(data[which].dist)
      const name = solvers[solver], nfe = count * (solver + 1), inOne = [...t < 1 ? [1] : [], t, r]
      const land = (slot, described, how, times) => described && later(slot, `${which} ${seed} ${how} ${times}`, () => ({ described, solver: how, points, times }))
      const left = land("left", v, name, M.even(count)), right = land("right", u, "jump", inOne), truth = curve(exact.v, ...z)
      const own = v && M.path(M.SOLVERS[name](M.field(v)), ...z, M.even(count)), jump = u && M.path(M.field(u).u, ...z, inOne)
      const speed = u && t - r < 0.02 && M.field(u).v(...jump.slice(-2), t).map(w => -w / 3)
      const square = (title, evaluations, color, ends, states, more = []) => ({ title, color, note: `${evaluations} ${evaluations > 1 ? "evaluations" : "evaluation"}`, layers: [
        { as: "points", color: "noise", alpha: 0.18, size: 1.2, xy: points }, { as: "points", wheel: points, size: 1.9, alpha: 0.9, xy: ends ?? points },
        { as: "lines", color: "ink", width: 5, alpha: 0.2, xy: truth }, states && { as: "arrows", color: "ink", width: 1.8, xy: arrowsAlong(states) }, ...more],
      handles: [{ name: "a noise point", at: z, move: (x, y) => ({ z: [x, y] }) }] })
      return { buttons: { "new noise": { seed: seed + 1 } }, squares: [square("Follow the velocity", nfe, "flow_matching", left, own),
        square("Jump by its average", inOne.length - 1, "self_distilled_mean_flow", right, jump,
               speed ? [{ as: "arrows", color: "mean_flow", width: 2.5, xy: [...jump.slice(-2), ...speed] }] : []), triangle([r, t])],
      words: !v || !u ? "Two small networks are on their way …" : r > 0 || t < 1
        ? `The right square jumps from t = ${two(t)} to r = ${two(r)}${speed ? ": no distance, so u is the velocity there (orange)" : ""}. Top left: from noise to data.`
        : `${nfe} : 1. The ring ends at ${pair(own.slice(-2))} by steps, at ${pair(jump.slice(-2))} by the jump; exactly at ${pair(truth.slice(-2))}.` }
    }
  },

  // Draw, and the exact velocity of what you drew carries noise to it: many steps of it, or one of its average.
  draw({ steps }, { later }) {
    const z = noise(700)
    return ({ ink, means, width, n }) => {
      const dist = means.length ? { means, sd: means.map(() => width) } : fitted(rows(ink)), count = steps[n], key = JSON.stringify(dist)
      const land = (slot, solver, times) => dist && later(slot, `${key} ${times}`, () => ({ described: dist, solver, points: z, times, steps: 16 })) || z
      const crowd = (title, color, xy) => ({ title, color, size: 0.8, layers: [{ as: "points", wheel: z, size: 1.8, xy }] })
      return { words: dist ? `${dist.means.length} Gaussians cover your shape, so v and u are exact here: ${count} Euler ${count > 1 ? "steps" : "step"} ` +
                             "along the one, one step by the other. A network would have to learn them."
                           : "Draw with mouse, pen or finger.", buttons: { clear: { ink: [], means: [] } }, squares: [
        { title: dist ? "your data" : "draw here", color: "data", size: 0.8, layers: [{ as: "points", color: "data", size: 3, xy: means.length ? flat(means) : ink }],
          stroke: ({ ink, means }, x, y, first) => ({ means: [], ink: [...means.length ? [] : ink, ...first ? [x, y] : joined(ink.slice(-2), [x, y])] }) },
        crowd(`${count} Euler ${count > 1 ? "steps" : "step"} along v`, "flow_matching", land("euler", "Euler", M.even(count))),
        crowd("one step by u", "mean_flow", land("jump", "jump", [1, 0]))] }
    }
  },
}

const NAMES = ([ofR, ofT]) => `(v, ${ofR}, ${ofT})`
const area = ring => rows(ring).reduce((sum, [x, y], i, all) => sum + x * all[(i + 1) % all.length][1] - y * all[(i + 1) % all.length][0], 0)

// A path at k + 1 even times from 1 to 0, where it is at time s, what of it lies between r and t, and a view around it.
function timed(v, start, k) {
  const line = [...start]
  for (let i = 0, z = start; i < k; i++) line.push(...z = M.flow(v, ...z, 1 - (i + 1) / k, 1 - i / k, 2))
  return line
}
function at(line, s) {
  const k = line.length / 2 - 1, i = Math.min(k - 1, Math.floor((1 - s) * k)), rest = (1 - s) * k - i
  return [0, 1].map(axis => line[2 * i + axis] + rest * (line[2 * i + 2 + axis] - line[2 * i + axis]))
}
const stretch = (line, r, t) => M.even(60, t, r).flatMap(s => at(line, s))
function around(line) {
  const [x, y] = [0, 1].map(axis => rows(line).map(point => point[axis])).map(all => [Math.min(...all), Math.max(...all)])
  const reach = 0.65 * Math.max(x[1] - x[0], y[1] - y[0]), [a, b] = [x, y].map(([low, high]) => (low + high) / 2)
  return [a - reach, a + reach, b - reach, b + reach]
}

// Points between two of a stroke, so that a fast one has no holes.
function joined([a, b], [x, y]) {
  const n = Math.round(Math.hypot(x - a, y - b) / 0.07)
  return n ? M.even(n, 0, 1).slice(1).flatMap(share => [a + share * (x - a), b + share * (y - b)]) : []
}

// Narrow Gaussians on the points of a drawing, centred and scaled into view: as shapes.mixture_of_points.
function fitted(points) {
  const few = points.filter((_, i) => i % Math.ceil(points.length / 300) == 0)
  const [low, high] = [Math.min, Math.max].map(most => [0, 1].map(axis => most(...few.map(point => point[axis]))))
  const scale = 4 / Math.max(high[0] - low[0], high[1] - low[1])
  if (few.length < 2 || !isFinite(scale)) return null
  return { means: few.map(point => point.map((part, axis) => (part - (low[axis] + high[axis]) / 2) * scale)), sd: few.map(() => 0.06) }
}
