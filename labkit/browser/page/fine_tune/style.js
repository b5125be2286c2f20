/** The page's own layout, beside style.css: text for a style element, in a page as in a notebook. */
export const STYLE = `
.lk-ft { display: grid; align-content: start; gap: 0.75rem; max-width: 64rem; margin-inline: auto; }
.lk-ft-main { display: grid; gap: 1rem 2rem; align-items: start; }
.lk-ft-main > section { display: grid; gap: 0.5rem; min-width: 0; }
.lk-ft-side { display: grid; gap: 1rem; min-width: 0; }
.lk-ft-side > section { display: grid; gap: 0.5rem; min-width: 0; }
.lk-ft .lk-heading { margin: 0; }
.lk-ft-chips { display: flex; flex-wrap: wrap; gap: 0.35rem; margin: 0; padding: 0; border: 0; min-width: 0; }
.lk-ft-chips legend { padding: 0; margin-bottom: 0.35rem !important; }
.lk-ft-chip {
  display: inline-flex; align-items: center; gap: 0.4rem; min-height: 2rem; padding: 0 0.6rem;
  border: 1px solid var(--edge); border-radius: 6px; cursor: pointer;
}
.lk-ft-chip:has(:checked) { border-color: var(--accent); box-shadow: inset 0 0 0 1px var(--accent); }
.lk-ft-chip input { margin: 0; accent-color: var(--accent); }
.lk-ft-count { color: var(--quiet); font-size: 0.8125rem; }
.lk-ft summary { cursor: pointer; }
.lk-ft-classes .lk-tools { margin-top: 0.5rem; }
.lk-ft .lk-paper { max-width: 13.5rem; }
.lk-ft-thumbs { display: flex; flex-wrap: wrap; gap: 0.25rem; min-height: 1.5rem; }
.lk-ft-thumb { width: 1.5rem; height: 1.5rem; border: 0 solid var(--line); color: var(--text); }
.lk-ft .lk-tools { align-items: center; }
.lk-ft-number { width: 4.5rem; }
.lk-ft-charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: 0.5rem; }
.lk-ft-chart { width: 100%; height: auto; max-width: 22rem; font-size: 10px; }
.lk-ft-chart text { fill: var(--quiet); }
.lk-ft-chart .lk-ft-chart-title, .lk-ft-chart .lk-ft-last { fill: var(--text); font-weight: 600; }
.lk-ft-grid { stroke: var(--line); }
.lk-ft-turn { stroke: var(--edge); stroke-dasharray: 3 3; }
.lk-ft-line { fill: none; stroke: var(--accent); stroke-width: 2; }
.lk-ft-dot { fill: var(--accent); }
.lk-ft-table { border-collapse: collapse; font-size: 0.8125rem; }
.lk-ft-table th, .lk-ft-table td {
  padding: 0.25rem 0.75rem 0.25rem 0; border-bottom: 1px solid var(--line); text-align: left; font-weight: 400;
}
.lk-ft-table th { color: var(--quiet); }
.lk-ft-compare { width: 100%; }
.lk-ft-compare .lk-ft-after, .lk-ft-right { color: var(--text); font-weight: 650; }
.lk-ft-privacy { padding-top: 0.6rem; border-top: 1px solid var(--line); font-size: 0.8125rem; }
.lk-ft-privacy[open] > * + * { margin-top: 0.6rem; }
.lk-ft-scroll { max-height: 12rem; overflow: auto; }
.lk-ft-attempt { display: grid; justify-items: start; gap: 0.4rem; }
.lk-ft-list { padding-left: 1.2rem !important; }
@container (min-width: 40rem) { .lk-ft-main { grid-template-columns: 17rem 1fr; } }
`;
