// What a panel computes: exact velocities, networks and steps, as in mfutils/data.py, exact.py, nets.py and flow.py.
// Points are flat arrays x0, y0, x1, y1, … One function, so that a worker can have its source.
function mathematics() {
  const T_MIN = 1e-3  // where RK4 stops

  // Numbers that Python packed, in base64: floating-point ones of 16 bits, or whole ones of 8 times a scale, of which the
  // lowest is not a number.
  function unpacked({ shape, scale, bits, data }) {
    const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0))
    const whole = bits == 8 ? new Int8Array(bytes.buffer) : new Uint16Array(bytes.buffer)
    const read = bits == 8 ? value => value == -128 ? NaN : value * scale : half
    return Object.assign(Float64Array.from(whole, read), { shape })
  }
  function half(bits) {
    const sign = bits >> 15 ? -1 : 1, exponent = bits >> 10 & 31, rest = bits & 1023
    return exponent == 31 ? NaN : sign * (exponent ? 2 ** (exponent - 25) * (1024 + rest) : 2 ** -24 * rest)
  }

  // erf(x) exp(x²), by its series, whose terms all have one sign; and erfcx(x) = erfc(x) exp(x²) for x ≥ 0.
  function erfScaled(x) {
    let term = x, sum = x
    for (let k = 1; Math.abs(term) > 1e-17 * Math.abs(sum); k++) sum += term *= 2 * x * x / (2 * k + 1)
    return 2 / Math.sqrt(Math.PI) * sum
  }
  function erfcx(x) {
    if (x < 2.5) return Math.exp(x * x) - erfScaled(x)
    let tail = x
    for (let k = 40; k > 0; k--) tail = x + k / 2 / tail  // a continued fraction, from its end
    return 1 / Math.sqrt(Math.PI) / tail
  }
  function erf(x) {
    if (Math.abs(x) < 2.5) return erfScaled(x) * Math.exp(-x * x)
    return Math.sign(x) * (1 - erfcx(Math.abs(x)) * Math.exp(-x * x))
  }

  // Log of the mass, and the mean, of a standard normal cut to [low, high]; the three formulas of mfutils/data.py.
  function truncatedNormal(low, high) {
    const middle = (low + high) / 2, width = high - low
    if (width < 1e-3) return [Math.log(width) - middle ** 2 / 2, middle * (1 - width ** 2 / 12)]
    const [a, b] = middle < 0 ? [-high, -low] : [low, high], drop = (b - a) * (b + a) / 2, half = Math.SQRT1_2
    const mass = a < 0 ? (erf(b * half) - erf(a * half)) * Math.sqrt(Math.PI / 2)
      : (erfcx(a * half) - erfcx(b * half) * Math.exp(-drop)) * Math.sqrt(Math.PI / 2)
    const near = a < 0 ? Math.exp(-a * a / 2) : 1
    return [Math.log(mass) - (a < 0 ? 0 : a * a / 2), -Math.sign(middle || 1) * near * Math.expm1(-drop) / mass]
  }

  function board(x, y, t) {
    const s = Math.min(t, 1 - 1e-7)
    const [across, up] = [x, y].map(z => [-2, -1, 0, 1].map(
      edge => truncatedNormal((z - (1 - s) * (edge + 1)) / s, (z - (1 - s) * edge) / s)))
    const most = Math.max(...across.map(cut => cut[0])) + Math.max(...up.map(cut => cut[0]))
    let total = 0, a = 0, b = 0
    for (let i = 0; i < 4; i++) for (let j = i % 2; j < 4; j += 2) {  // the dark squares
      const weight = Math.exp(across[i][0] + up[j][0] - most)
      total += weight
      a += weight * across[i][1]
      b += weight * up[j][1]
    }
    return [(a / total - x) / (1 - s), (b / total - y) / (1 - s)]
  }

  function mixture({ means, sd }) {
    const k = sd.length, logs = new Float64Array(k)
    return (x, y, t) => {
      let most = -Infinity, total = 0, slopes = 0, a = 0, b = 0
      for (let i = 0; i < k; i++) {
        const variance = ((1 - t) * sd[i]) ** 2 + t * t
        const far = (x - (1 - t) * means[i][0]) ** 2 + (y - (1 - t) * means[i][1]) ** 2
        logs[i] = -far / (2 * variance) - Math.log(variance)
        if (logs[i] > most) most = logs[i]
      }
      for (let i = 0; i < k; i++) {
        const p = Math.exp(logs[i] - most)
        if (p < 1e-17) continue
        const slope = p * (t - (1 - t) * sd[i] ** 2) / (((1 - t) * sd[i]) ** 2 + t * t)
        total += p
        slopes += slope
        a += ((1 - t) * slope + p) * means[i][0]
        b += ((1 - t) * slope + p) * means[i][1]
      }
      return [(slopes * x - a) / total, (slopes * y - b) / total]
    }
  }

  // From time t to time r, either way, by RK4 with steps even in √t; as exact.flow_map.
  function flow(v, x, y, r, t, steps = 25) {
    const slope = (x, y, root) => v(x, y, root * root).map(w => 2 * root * w)
    let root = Math.sqrt(Math.max(t, T_MIN))
    const h = (Math.sqrt(Math.max(r, T_MIN)) - root) / steps
    for (let i = 0; i < steps && h; i++, root += h) {
      const [a1, b1] = slope(x, y, root), [a2, b2] = slope(x + h / 2 * a1, y + h / 2 * b1, root + h / 2)
      const [a3, b3] = slope(x + h / 2 * a2, y + h / 2 * b2, root + h / 2), [a4, b4] = slope(x + h * a3, y + h * b3, root + h)
      x += h / 6 * (a1 + 2 * a2 + 2 * a3 + a4)
      y += h / 6 * (b1 + 2 * b2 + 2 * b3 + b4)
    }
    const last = Math.min(t, T_MIN) - Math.min(r, T_MIN), [a, b] = last ? v(x, y, T_MIN) : [0, 0]
    return [x - last * a, y - last * b]
  }

  const ACTIVATIONS = {
    GELU: x => x * (1 + quickErf(x * Math.SQRT1_2)) / 2, SiLU: x => x / (1 + Math.exp(-x)),
    Tanh: Math.tanh, ReLU: x => Math.max(x, 0),
  }

  function quickErf(x) {  // to 2e-7: Abramowitz and Stegun, 7.1.26
    const k = 1 / (1 + 0.3275911 * Math.abs(x))
    const tail = k * (0.254829592 + k * (-0.284496736 + k * (1.421413741 + k * (-1.453152027 + k * 1.061405429))))
    return Math.sign(x) * (1 - tail * Math.exp(-x * x))
  }

  // v(z, t), which ignores r, or u(z, r, t); the first layer tells which by the number of its inputs.
  function network({ layers, activation }) {
    const act = ACTIVATIONS[activation]
    const all = layers.map(([weight, bias]) => [unpacked(weight), unpacked(bias), new Float64Array(bias.shape[0])])
    return (x, y, r, t) => {
      let h = [x, y, t, t - r]
      all.forEach(([weight, bias, out], number) => {
        const columns = weight.shape[1]
        for (let i = 0, at = 0; i < out.length; i++) {
          let sum = bias[i]
          for (let j = 0; j < columns; j++) sum += weight[at++] * h[j]
          out[i] = number < all.length - 1 ? act(sum) : sum
        }
        h = out
      })
      return [h[0], h[1]]
    }
  }

  // v(x, y, t) and u(x, y, r, t) of what Python described: a network, or a distribution with its exact velocity.
  function field(described, steps = 25) {
    if (described.layers) {
      const u = network(described)
      return { u, v: (x, y, t) => u(x, y, t, t) }
    }
    const v = described.board ? board : mixture(described)
    return { v, u: (x, y, r, t) => {
      if (t - r < 1e-6) return v(x, y, Math.max(t, T_MIN))
      const [a, b] = flow(v, x, y, r, t, steps)
      return [(x - a) / (t - r), (y - b) / (t - r)]
    } }
  }

  const SOLVERS = {  // each makes a u(z, r, t) for one step
    jump: ({ u }) => u,
    Euler: ({ v }) => (x, y, r, t) => v(x, y, t),
    midpoint: ({ v }) => (x, y, r, t) => {
      const [a, b] = v(x, y, t), h = (t - r) / 2
      return v(x - h * a, y - h * b, (r + t) / 2)
    },
  }

  // One step z ← z − (t − r) u(z, r, t) from each time to the next: all states of one point; the last ones of many, or,
  // with `every`, theirs at all times, one after the other.
  function path(u, x, y, times) {
    const states = [x, y]
    for (let i = 1; i < times.length; i++) {
      const [a, b] = u(x, y, times[i], times[i - 1]), step = times[i - 1] - times[i]
      states.push(x -= step * a, y -= step * b)
    }
    return states
  }
  function carried({ described, solver, points, times, steps, every }) {
    const u = SOLVERS[solver](field(described, steps)), first = every ? 0 : times.length - 1
    const ends = new Float64Array((times.length - first) * points.length)
    for (let i = 0; i < points.length; i += 2) {
      const states = path(u, points[i], points[i + 1], times)
      for (let k = first; k < times.length; k++) ends.set(states.slice(2 * k, 2 * k + 2), (k - first) * points.length + i)
    }
    return ends
  }
  const even = (n, t = 1, r = 0) => Array.from({ length: n + 1 }, (_, i) => t + (r - t) * i / n)

  return { unpacked, field, flow, path, carried, even, SOLVERS, T_MIN }
}
