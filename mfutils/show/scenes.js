// The panels. A scene gets its data and returns a function from the state of knobs and handles to squares of layers, and
// to a sentence. Exact velocities and networks are computed here, as they are asked for.
const MANY = 1500, TRIANGLE = [-0.2, 1.12, -0.12, 1.2]  // points of a crowd; view of the (r, t) triangle
const two = number => number.toFixed(2).replace("-", "−")
const number = (count, what) => `${count} ${what}${count == 1 ? "" : "s"}`
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

// What colours a landing: the middle of the square or blob it is nearest to; itself where the data have no such parts.
function parts(dist, xy) {
  const squares = M.even(15, 0, 15).map(k => [k % 4 - 1.5, Math.floor(k / 4) - 1.5])
  const middles = dist.board ? squares.filter(([x, y]) => (x + y) % 2 != 0) : dist.means
  if (middles.length > 12) return xy
  return flat(rows(xy).map(([x, y]) => middles.reduce((p, q) =>
    Math.hypot(q[0] - x, q[1] - y) < Math.hypot(p[0] - x, p[1] - y) ? q : p)))
}
// Where the exact flow takes these points of noise, as colours.
const destinations = (later, dist, points, key = "") => {
  const ends = later("destinations", key, () => ({ described: dist, solver: "jump", points, times: [1, 0] }))
  return ends && parts(dist, ends)
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
const miss = (a, b) => Math.sqrt(a.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0) / (a.length / 2))
const plus = (a, b) => a.map((part, axis) => part + b[axis]), minus = (a, b) => a.map((part, axis) => part - b[axis])
const clipped = (value, low, high) => Math.min(high, Math.max(low, value))

// A triangle to choose r ≤ t in. Its corner at the top left is one step from noise to data, its slope is r = t.
function triangle([r, t], layers = [], step = 0.01) {
  const move = (...place) => {  // across the slope both go along: the one that was moved decides
    const [x, y] = place.map(s => Math.round(clipped(s, 0, 1) / step) * step), both = y == t ? x : x == r ? y : (x + y) / 2
    return { rt: x > y ? [both, both] : [x, y] }
  }
  return { title: "from t to r", share: 0.55, view: TRIANGLE, alt: "The triangle of all r ≤ t", layers: [...layers,
    { as: "lines", color: "ink", xy: [0, 0, 0, 1, 1, 1, 0, 0] }, { as: "text", xy: [0, 0.5], text: "t", shift: [-14, 5] },
    { as: "text", xy: [0.5, 1], text: "r", shift: [0, -12] }, { as: "text", xy: [0.6, 0.46], text: "r = t", shift: [12, 12] }],
  handles: [{ name: "interval r, t", at: [r, t], step, move, color: "mean_flow", says: `r ${two(r)}, t ${two(t)}` }] }
}

const SCENES = {
  // Travellers on their roads, or a crowd in the field, in the colours of where they will arrive; and one point to drag.
  field({ dist }, { later }) {
    const { v } = M.field(dist), n = 3000, crowd = 1200, side = 13, TIMES = 40
    const eps = noise(n), x = samples(dist, n), centre = k => ((k + 0.5) / side - 0.5) * 6
    const tile = part => Math.floor((part / 6 + 0.5) * side)
    const states = () => later("crowd", "", () => ({ described: dist, solver: "jump", points: eps.slice(0, 2 * crowd),
                                                     times: M.even(TIMES), steps: 2, every: true }))
    const inField = (all, t) => {
      const k = Math.min(TIMES - 1, Math.floor((1 - t) * TIMES)), rest = (1 - t) * TIMES - k
      const [before, after] = [k, k + 1].map(i => all.subarray(2 * crowd * i, 2 * crowd * (i + 1)))
      return before.map((part, i) => part + rest * (after[i] - part))
    }
    return ({ t, who, z }) => {
      const onRoads = eps.map((e, i) => (1 - t) * x[i] + t * e), seen = new Set(), arrows = [], all = who && states()
      for (const [a, b] of rows(onRoads)) seen.add(`${tile(a)} ${tile(b)}`)
      for (let i = 0; i < side; i++) for (let j = 0; j < side; j++) if (seen.has(`${i} ${j}`)) {
        arrows.push(centre(i), centre(j), ...v(centre(i), centre(j), Math.max(t, 0.02)).map(w => -w / 8))
      }
      const at = M.flow(v, ...z, t, 1), line = curve(v, ...z), first = Math.max(t, 0.02)
      const place = who ? all && parts(dist, all.slice(-2 * crowd)) : parts(dist, x.slice(0, 2 * crowd))
      const move = (a, b) => ({ z: M.flow(v, a, b, 1, first, 50).map(part => clipped(part, -3, 3)) })
      return { words: `t = ${two(t)}. Arrows: −v, the way points move toward data, at an eighth of their length. The ring is one ` +
                      `point in the field: now at ${pair(at)}, in the end at ${pair(line.slice(-2))}. ` +
                      "Colours: where a point ends.", squares: [{
        title: who ? "a crowd that follows the field" : "travellers on straight roads", color: "data", layers: [
          { as: "points", place, xy: who ? all ? inField(all, t) : [] : onRoads.slice(0, 2 * crowd) },
          { as: "arrows", color: "ink", width: 1.2, xy: arrows }, { as: "lines", color: "flow_matching", width: 2.5, xy: line }],
        handles: [{ name: "one point in the field", at, move, color: "flow_matching" }] }] }
    }
  },

  // Roads through one point, each as dark as it is likely, and the mean of all.
  roads({ dist, x }) {
    const { v } = M.field(dist), data = rows(x)
    return ({ t, z }) => {
      const eps = data.map(point => point.map((part, axis) => (z[axis] - (1 - t) * part) / t)), mean = v(...z, t)
      const logs = eps.map(([a, b]) => -(a * a + b * b) / 2), likely = logs.map(log => Math.exp(log - Math.max(...logs)))
      const share = 100 / likely.reduce((sum, weight) => sum + weight)
      return { words: `At t = ${two(t)} the mean velocity here is v = ${pair(mean)}. The arrow is −v. The likeliest of these ` +
                      `${data.length} roads has ${share.toFixed(0)} % of their weight.`, squares: [{
        title: "roads through one point", color: "data", layers: [
          { as: "lines", color: "data", alpha: likely.map(weight => 0.06 + 0.94 * weight),
            xy: lines(data.map((point, i) => [...point, ...eps[i]])) },
          { as: "points", color: "data", size: 2.5, xy: x },
          { as: "arrows", color: "flow_matching", width: 4, xy: [...z, ...mean.map(w => -w)] }],
        handles: [{ name: "the place", at: z, move: (a, b) => ({ z: [a, b] }) }] }] }
    }
  },

  // Euler's steps or the midpoint rule's over exact paths, all by the exact velocity.
  solvers({ dist, starts, steps }) {
    const exact = M.field(dist), paths = starts.map(point => curve(exact.v, ...point)), end = line => line.slice(-2)
    return ({ n, solver, z }) => {
      const name = ["Euler", "midpoint"][solver], count = steps[n], own = curve(exact.v, ...z), all = [own, ...paths]
      const states = [z, ...starts].map(point => M.path(M.SOLVERS[name](exact), ...point, M.even(count)))
      return { words: `${number(count, "step")} by ${name}, ${number(count * (solver + 1), "evaluation")} of the exact velocity. ` +
                      `The ring at ${pair(z)} misses its true end by ${two(miss(end(states[0]), end(own)))}, all of them by ` +
                      `${two(miss(states.flatMap(end), all.flatMap(end)))} (rms).`, squares: [{
        title: `${name}, ${number(count, "step")}`, color: "flow_matching", layers: [
          { as: "lines", color: "noise", width: 1.5, xy: lines(all) },
          { as: "points", color: "noise", size: 3.5, xy: flat(starts) },
          { as: "arrows", color: "flow_matching", width: 1.8, xy: states.flatMap(arrowsAlong) },
          { as: "points", color: "data", size: 4, xy: all.flatMap(end) },
          { as: "points", color: "flow_matching", size: 4, xy: states.flatMap(end) }],
        handles: [{ name: "a noise point", at: z, move: (a, b) => ({ z: [a, b] }) }] }] }
    }
  },

  // One path, and the chord between two of its points. Where both ends meet, the way they are pulled decides which one goes.
  chord({ dist, start }) {
    const { v } = M.field(dist), K = 400, line = timed(v, start, K), view = around(line)
    const nearest = (a, b) => rows(line).map(([x, y], i) => [Math.hypot(x - a, y - b), 1 - i / K])
      .reduce((p, q) => q[0] < p[0] ? q : p)[1]
    return ({ rt: [r, t] }) => {
      const [zt, zr] = [t, r].map(s => at(line, s)), chord = minus(zt, zr), speed = v(...zt, Math.max(t, M.T_MIN))
      const u = t > r ? chord.map(part => part / (t - r)) : speed, met = t - r < 0.01
      const ofT = s => ({ rt: met && s < r ? [s, t] : [r, clipped(s, r, 1)] })
      const ofR = s => ({ rt: met && s > t ? [r, s] : [clipped(s, 0, t), t] })
      const handle = (name, at, s, color, to) => ({ name, at, color, says: two(s), move: (a, b) => to(nearest(a, b)),
                                                    nudge: k => to(clipped(s + 0.02 * k, 0, 1)) })
      return { words: t > r ? `r = ${two(r)}, t = ${two(t)}: u = ${pair(u)}, the chord ${pair(chord)} divided by t − r. Blue: ` +
                              `a third of v = ${pair(speed)}, the velocity at z\u209c.`
                            : `r = t = ${two(t)}: the chord has shrunk, and u is the velocity v = ${pair(u)}.`, squares: [{
        title: "one path, and its chord", color: "mean_flow", view, layers: [
          { as: "lines", color: "noise", xy: line },
          { as: "lines", color: "data", width: 4, xy: M.even(60, t, r).flatMap(s => at(line, s)) },
          { as: "arrows", color: "mean_flow", width: 4, short: 11, xy: [...zr, ...chord] },
          { as: "arrows", color: "flow_matching", width: 3, xy: [...zt, ...speed.map(part => part / 3)] },
          { as: "text", xy: zt, text: "z\u209c", shift: [-14, 18] }, { as: "text", xy: zr, text: "z\u1d63", shift: [14, -8] }],
        handles: [handle("z at time t", zt, t, "noise", ofT), handle("z at time r", zr, r, "data", ofR)] }] }
    }
  },

  // A jump from t to r, and the same jump cut at s, a share of the way up from r to t. Blue: the velocity instead of the
  // average on the short piece. In the triangle both pieces are corners of a rectangle, and the blue velocities on r = t.
  cut({ dist, starts }) {
    const { v } = M.field(dist), K = 200, all = starts.map(start => timed(v, start, K))
    const names = ["the cut is near r: Lagrangian", "the cut is anywhere: semigroup", "the cut is near t: Eulerian"]
    return ({ rt: [r, t], s: share, k }) => {
      const line = all[k], s = r + share * (t - r), [zt, zs, zr] = [t, s, r].map(time => at(line, time))
      const early = v(...zr, Math.max(r, M.T_MIN)).map(part => (s - r) * part)
      const late = v(...zt, Math.max(t, M.T_MIN)).map(part => (t - s) * part), landing = minus(zt, late)
      const nearest = (a, b) => rows(line).map(([x, y], i) => [Math.hypot(x - a, y - b), 1 - i / K])
        .reduce((p, q) => q[0] < p[0] ? q : p)[1]
      const handle = (name, place, time, color, to) => ({ name, at: place, color, says: two(time),
        move: (x, y) => to(nearest(x, y)), nudge: step => to(clipped(time + 0.02 * step, 0, 1)) })
      return { words: `r = ${two(r)}, s = ${two(s)}, t = ${two(t)}: (t − r) u = ${pair(minus(zt, zr))} is ${pair(minus(zt, zs))} ` +
                      `from t to s plus ${pair(minus(zs, zr))} from s to r. Straight along v, the first piece is off by ` +
                      `${two(miss(landing, zs))}, the second by ${two(miss(plus(zr, early), zs))}; ` +
                      `${names[share < 0.2 ? 0 : share > 0.8 ? 2 : 1]}.`,
        buttons: { "t moves": { s: 0.88 }, "cut in the middle": { s: 0.5 }, "r moves": { s: 0.12 },
                   "another point": { k: (k + 1) % all.length } }, squares: [
        { title: "one jump, cut at s", color: "mean_flow", view: around(line), layers: [
          { as: "lines", color: "noise", xy: line },
          { as: "arrows", color: "flow_matching", width: 3, alpha: share ** 2, xy: [...landing, ...late] },
          { as: "arrows", color: "flow_matching", width: 3, alpha: (1 - share) ** 2, xy: [...zr, ...early] },
          { as: "arrows", color: "mean_flow", width: 4, short: 11, xy: [...zr, ...minus(zt, zr)] },
          { as: "arrows", color: "ink", width: 2.2, short: 11, xy: [...zr, ...minus(zs, zr), ...zs, ...minus(zt, zs)] },
          { as: "text", xy: zt, text: "z\u209c", shift: [-14, 18] }, { as: "text", xy: zs, text: "z\u209b", shift: [14, 22] },
          { as: "text", xy: zr, text: "z\u1d63", shift: [14, -8] }],
          handles: [handle("z at time t", zt, t, "noise", time => ({ rt: [r, Math.max(time, r)] })),
                    handle("z at time r", zr, r, "data", time => ({ rt: [Math.min(time, t), t] })),
                    handle("the cut s", zs, s, "ink", time => t > r ? { s: clipped((time - r) / (t - r), 0, 1) } : {})] },
        triangle([r, t], [{ as: "lines", color: "ink", width: 2, xy: [r, t, s, t, s, s, r, s, r, t] },
          { as: "points", color: "ink", size: 5, xy: [s, t, r, s] },
          { as: "points", color: "flow_matching", size: 2 + 5 * share, xy: [t, t] },
          { as: "points", color: "flow_matching", size: 7 - 5 * share, xy: [r, r] }])] }
    }
  },

  // The chord from a fixed z_r swings while t grows by dt. Where each choice of tangents sends its tip, by the exact u.
  swing({ dist, start, r, dt, tangents }) {
    const { v, u } = M.field(dist), line = timed(v, start, 400), view = around(line), h = 1e-4, zr = at(line, r)
    const colors = ["ink", "flow_matching", "self_distilled_mean_flow", "improved_mean_flow"]
    const names = tangents.map(([ofR, ofT]) => `(v,\u00a0${ofR},\u00a0${ofT})`)
    return ({ t }) => {
      const z = at(line, t), next = at(line, t + dt), velocity = v(...z, t), now = u(...z, r, t)
      const tips = tangents.map(([ofR, ofT]) => {
        const [ahead, behind] = [h, -h].map(k => u(z[0] + k * velocity[0], z[1] + k * velocity[1], r + k * ofR, t + k * ofT))
        return now.map((part, axis) => dt * (part + (t - r) * (ahead[axis] - behind[axis]) / (2 * h)))
      })
      const beyond = tip => [tip[0], -tip[1]].map((part, axis) => 12 * part / Math.hypot(...tip) + 5 * axis)
      const misses = tips.map(tip => miss(plus(z, tip), next)), reach = 1.4 * Math.max(...tips.map(tip => Math.hypot(...tip)), 0.02)
      const layers = [{ as: "lines", color: "noise", xy: line },
        { as: "arrows", color: "pale", width: 3, xy: [...zr, ...minus(z, zr)] },
        { as: "arrows", color: "mean_flow", width: 3, xy: [...zr, ...minus(next, zr)] },
        ...tips.map((tip, i) => ({ as: "arrows", color: colors[i], width: 2.5, xy: [...z, ...tip] })).reverse()]
      return { words: `t = ${two(t)}. The arrow misses the new tip by ` +
                      names.map((name, i) => `${misses[i].toFixed(3)} with ${name}`).join(", ") + ".", squares: [
        { title: "old chord (pale), new chord (orange)", color: "mean_flow", view, layers: [...layers,
          { as: "text", xy: z, text: "z\u209c", shift: [-14, 18] }, { as: "text", xy: zr, text: "z\u1d63" }] },
        { title: "the tip, enlarged", view: [z[0] - reach, z[0] + reach, z[1] - reach, z[1] + reach], layers: [...layers,
          ...tips.map((tip, i) => ({ as: "text", color: colors[i], xy: plus(z, tip), text: names[i], shift: beyond(tip) }))] }] }
    }
  },

  // Methods by evaluations: choose a cell. Samples by networks, computed here, beside the target.
  comparison({ data, methods, columns, texts, about }, { later, shared }) {
    const z = noise(MANY), targets = data.map(({ dist }) => samples(dist, MANY))
    return ({ which, cell }) => {
      const nfe = columns[cell % columns.length], row = Math.floor(cell / columns.length), { label, color, solver } = methods[row]
      const { name, networks, dist } = data[which], place = destinations(later, dist, z, which)
      const described = networks[networks[row]] ?? networks[row]  // another's place, or its own
      const net = typeof described == "string" ? shared(described) : described, said = texts[which][cell]
      const points = said && net && later("samples", `${which} ${cell}`, () => ({ described: net, solver, points: z,
        times: M.even(solver == "midpoint" ? nfe / 2 : nfe) }))
      const words = `${name}: ${label}, ${nfe} NFE, ${said ? `${about} ${said}` : "not made"}. ` +
                    "Colours: where the exact flow would take each point."
      return { words, squares: [
                  { title: label, note: `${nfe} NFE`, color,
                    layers: [{ as: "points", place, color: "noise", xy: said ? points ?? z : [] }] },
                  { title: "target", color: "data",
                    layers: [{ as: "points", place: parts(dist, targets[which]), xy: targets[which] }] }],
        cells: { key: "cell", rows: methods.map(({ label }) => label), columns: columns.map(n => `${n} NFE`), texts: texts[which] } }
    }
  },

  // Crowds or images that were made before, chosen by knobs: in each square the item at the sum of position × stride.
  choices({ squares, words, by, matrix }) {
    const index = (strides, state) => Object.entries(strides).reduce((sum, [key, stride]) => sum + stride * state[key], 0)
    const own = squares.map(({ items }) => items.shape ? rows(items, items.length / items.shape[0]) : items.same)
    return state => {
      const chosen = squares.map(square => index(square.by, state))
      const titles = squares.map(({ titles }, i) => titles[chosen[i] % titles.length])
      return { cells: matrix, words: words[index(by, state)].replace(/\{(\d)\}/g, (_, i) => titles[i]),  // {0}: the first square's
        squares: squares.map((square, i) => ({ ...square, title: titles[i],
                                               layers: [{ ...square, xy: (own[own[i]] ?? own[i])[chosen[i]] }] })) }
    }
  },

  // A map of errors over the plane for every r ≤ t; the triangle is coloured by their rms.
  error({ errors, rms, levels }) {
    const side = levels + 1, each = rows(errors, errors.length / errors.shape[0]), step = 1 / levels
    const place = (i, j) => j * (j + 1) / 2 + i, worst = Math.max(...rms) || 1, ends = [-step / 2, 1 + step / 2]
    const tiles = Float64Array.from({ length: side * side }, (_, k) => {
      const [i, j] = [k % side, Math.floor(k / side)]
      return i <= j ? rms[place(i, j)] : NaN
    })
    return ({ rt }) => {
      const [i, j] = rt.map(s => Math.round(s * levels)), [r, t] = [i / levels, j / levels], error = rms[place(i, j)].toFixed(3)
      return { words: `r = ${two(r)}, t = ${two(t)}: the learned u is off by ${error} (rms over the particles). ` +
                      `Yellow is 1 or more on the plane, and ${two(worst)} in the triangle.`, squares: [
        { title: "error of u at z\u209c", note: `rms ${error}`, color: "mean_flow",
          layers: [{ as: "tiles", xy: each[place(i, j)] }] },
        triangle([r, t], [{ as: "tiles", xy: tiles, highest: worst, view: [...ends, ...ends] }], step)] }
    }
  },

  // A network in your hand: noise with a grid and a patch, and where they are at r after jumps from t. In the colours of
  // where the exact flow takes the noise, if the distribution is known; else of the noise itself.
  explore({ described, dist, color, steps }, { later }) {
    const z = noise(900), ticks = M.even(12, -2.4, 2.4), fine = M.even(40, -2.4, 2.4), own = M.field(described, 4)
    const grid = lines([...ticks.map(x => fine.flatMap(y => [x, y])), ...ticks.map(y => fine.flatMap(x => [x, y]))])
    const both = flat([[...z], [...grid]]), solver = described.layers?.[0][0].shape[1] == 3 ? "Euler" : "jump"
    return ({ rt: [r, t], n, p }) => {
      const times = [...t < 1 ? [1] : [], ...M.even(steps[n], t, r)], one = (x, y) => M.path(M.SOLVERS[solver](own), x, y, times)
      const ends = later("both", `${r} ${t} ${n}`, () => ({ described, solver, points: both, times, steps: 6 })) ?? both
      const patch = M.even(40, 0, 2 * Math.PI).flatMap(angle => [p[0] + 0.25 * Math.cos(angle), p[1] + 0.25 * Math.sin(angle)])
      const paint = { place: dist ? destinations(later, dist, z) : z, color: "noise" }
      const states = one(...p), image = rows(patch).flatMap(([x, y]) => one(x, y).slice(-2)), grown = area(image) / area(patch)
      const sheet = (title, xy, ring, more, handles) => ({ title, color, handles, layers: [
        { as: "lines", color: "noise", width: 0.8, alpha: 0.7, xy: xy.slice(z.length) },
        { as: "points", ...paint, size: 1.9, xy: xy.slice(0, z.length) },
        { as: "lines", color: "ink", width: 2.5, xy: ring }, more] })
      const first = t < 1 ? ` to t = ${two(t)} in one step, then` : ""
      const form = grown < 0 ? "is folded over: its image is turned inside out" : `becomes ${two(grown)} times as large`
      return { words: `The patch lands at ${pair(states.slice(-2))}: from noise${first} to r = ${two(r)} in ` +
                      `${number(steps[n], "step")}. It ${form}.`, squares: [
        sheet("noise", both, patch, null, [{ name: "a patch of noise", at: p, move: (x, y) => ({ p: [x, y] }) }]),
        sheet(`at r = ${two(r)}`, ends, image, { as: "arrows", color: "ink", width: 1.5, xy: arrowsAlong(states) })] }
    }
  },

  // One digit between four, by its place between them: the images on a grid are blended.
  between({ sheets, side, grid, corners, turns }) {
    const all = rows(sheets, side * side), unit = side + 1, wide = grid * unit
    return ({ p, which, turn }) => {
      const [a, b] = [p[0], 1 - p[1]].map(share => clipped(share * (grid - 1), 0, grid - 1 - 1e-6))
      const [i, j] = [a, b].map(Math.floor), first = (which * turns.length + turn) * grid * grid
      const mix = (low, high, share) => low.map((part, q) => part + share * (high[q] - part)), image = k => all[first + k]
      const [above, below] = [j, j + 1].map(row => mix(image(row * grid + i), image(row * grid + i + 1), a - i))
      const shares = [(1 - p[0]) * p[1], p[0] * p[1], (1 - p[0]) * (1 - p[1]), p[0] * (1 - p[1])]
      const said = corners[which].split(" ").map((digit, k) => `${Math.round(100 * shares[k])} % a ${digit}`).join(", ")
      const from = first * side * side, inset = side / 2, reach = (grid - 1) * unit
      return { words: `${said}; the noise turned by ${turns[turn]}°.`, squares: [
        { title: "one step each, between four classes", color: "mean_flow", view: [-1, wide, -wide, 1], handles: [{
          name: "a place between four digits", color: "none", at: [p[0] * reach + inset, (p[1] - 1) * reach - inset], says: said,
          move: (x, y) => ({ p: [(x - inset) / reach, 1 + (y + inset) / reach].map(share => clipped(share, 0, 1)) }) }],
          layers: [{ as: "images", side, columns: grid, xy: sheets.slice(from, from + (grid * side) ** 2) }] },
        { title: "here", share: 0.6, view: [-0.5, side + 0.5, -side - 0.5, 0.5],
          layers: [{ as: "images", side, columns: 1, xy: mix(above, below, b - j) }] }] }
    }
  },

  // The front page: steps along a velocity against one jump by an average velocity, from the same noise.
  race({ data, steps, solvers, colors }, { later, shared }) {
    return ({ which, n, solver, jump: by, z, rt: [r, t], seed }) => {
      const { dist, networks, left: scores, jumps } = data[which], points = noise(1200, seed + 1)
      const [v, u] = [networks[0], networks[1 + by]].map(shared)
      const place = destinations(later, dist, points, `${which} ${seed}`)
      const name = solvers[solver], count = steps[n], nfe = count * (solver + 1), inOne = [...t < 1 ? [1] : [], t, r], whole = r == 0 && t == 1
      const land = (slot, described, how, times, key = "") => described && later(slot, `${which} ${seed} ${how} ${times} ${key}`,
        () => ({ described, solver: how, points, times }))
      const left = land("left", v, name, M.even(count)), right = land("right", u, "jump", inOne, by)
      const own = v && M.path(M.SOLVERS[name](M.field(v)), ...z, M.even(count)), jump = u && M.path(M.field(u).u, ...z, inOne)
      const truth = curve(M.field(dist).v, ...z), missed = states => two(miss(states.slice(-2), truth.slice(-2)))
      const speed = u && t - r < 0.02 && M.field(u).v(...jump.slice(-2), t).map(w => -w / 3)
      const square = (title, evaluations, score, color, ends, states, more) => ({ title, color, share: 1.1,
        note: number(evaluations, "evaluation") + (score ? `, TV ${score}` : ""), layers: [
          { as: "points", color: "noise", alpha: 0.18, size: 1.2, xy: points },
          { as: "points", place, color: "noise", size: 1.9, alpha: 0.9, xy: ends ?? points },
          { as: "lines", color: "ink", width: 5, alpha: 0.3, xy: truth },
          states && { as: "points", color: "ink", size: 5, xy: states.slice(-2) },
          states && { as: "arrows", color: "ink", width: 1.8, xy: arrowsAlong(states) }, more],
        handles: [{ name: "a noise point", at: z, move: (x, y) => ({ z: [x, y] }) }] })
      const arrow = speed && { as: "arrows", color: "mean_flow", width: 2.5, xy: [...jump.slice(-2), ...speed] }
      const words = !v || !u ? "Two small networks are on their way …"
        : whole ? `${number(nfe, "evaluation")} against one. The ring misses its true end by ${missed(own)} on the left, ` +
                  `by ${missed(jump)} on the right.`
          : `On the right: noise${t < 1 ? ` → t = ${two(t)}` : ""} → r = ${two(r)}. ` +
            (speed ? "No distance: there u is the velocity (orange)." : "Top left in the triangle: the whole way at once.")
      return { words, buttons: { "new noise": { seed: seed + 1 } }, squares: [
        square("Follow the velocity", nfe, scores[solver][n], "flow_matching", left, own),
        square("Jump by its average", inOne.length - 1, whole && jumps[by], colors[by], right, jump, arrow),
        triangle([r, t])] }
    }
  },

  // Draw, and the exact velocity of what you drew carries noise to it: many steps of it, or one of its average.
  draw({ steps }, { later }) {
    const z = noise(1200)
    return ({ ink, means, width, n }) => {
      const dist = means.length ? { means, sd: means.map(() => width) } : fitted(rows(ink)), count = steps[n]
      const land = (slot, solver, times) => later(slot, `${JSON.stringify(dist)} ${times}`,
        () => ({ described: dist, solver, points: z, times, steps: 16 }))
      const ends = dist && land("jump", "jump", [1, 0]), paint = ends ? { place: parts(dist, ends) } : { color: "noise" }
      const crowd = (title, color, xy) => ({ title: dist ? title : "noise", color, share: 0.8,
                                             layers: [{ as: "points", ...paint, size: 1.5, xy: xy ?? z }] })
      const along = count == 1 ? "; one Euler step along v lands on its mean, where v points from everywhere in pure noise."
        : `. Beside it: ${count} Euler steps along the exact v.`
      return { words: !dist ? "Draw with mouse, pen or finger." : `${dist.means.length} Gaussians cover your shape, centred and scaled. ` +
                      `One step by the exact u lands on it${along}`, buttons: { clear: { ink: [], means: [] } },
        squares: [{ title: dist ? "your data" : "draw here", color: "data", share: 0.8,
                    layers: [{ as: "points", color: "data", place: means.length ? flat(means) : null, size: means.length ? 2 : 3,
                               xy: means.length ? flat(means) : ink }],
                    stroke: ({ ink, means }, x, y, first) => ({ means: [],
                      ink: [...means.length ? [] : ink, ...first ? [x, y] : joined(ink.slice(-2), [x, y])] }) },
          crowd("noise, by where it goes", "noise", z),
          crowd(`${number(count, "Euler step")} along v`, "flow_matching", dist && land("euler", "Euler", M.even(count))),
          crowd("one step by u", "mean_flow", ends)] }
    }
  },
}

const area = ring => rows(ring).reduce((sum, [x, y], i, all) => {
  const [a, b] = all[(i + 1) % all.length]
  return sum + x * b - y * a
}, 0)

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

// Narrow Gaussians on the points of a drawing, centred and scaled into view: shapes.mixture_of_points, up to 1,000 points.
function fitted(points) {
  const few = points.filter((_, i) => i % Math.ceil(points.length / 1000) == 0)
  const [low, high] = [Math.min, Math.max].map(most => [0, 1].map(axis => most(...few.map(point => point[axis]))))
  const scale = 4 / Math.max(high[0] - low[0], high[1] - low[1])
  if (few.length < 2 || !isFinite(scale)) return null
  const placed = point => point.map((part, axis) => (part - (low[axis] + high[axis]) / 2) * scale)
  return { means: few.map(placed), sd: few.map(() => 0.06) }
}
