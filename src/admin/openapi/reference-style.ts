/** The style sheet of the reference page. */
export const REFERENCE_STYLE = `:root {
  color-scheme: light dark;
  --ink: light-dark(#1c2430, #e3e8ef);
  --soft: light-dark(#5b6675, #9aa6b5);
  --line: light-dark(#dfe4ea, #323c49);
  --ground: light-dark(#ffffff, #141a22);
  --raised: light-dark(#f5f7f9, #1b232d);
  --link: light-dark(#0b5cad, #7db7f5);
}
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body {
  margin: 0;
  display: grid;
  grid-template-columns: 19rem minmax(0, 1fr);
  background: var(--ground);
  color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif;
}
a { color: var(--link); text-decoration: none; }
a:hover, a:focus-visible { text-decoration: underline; }
nav {
  position: sticky;
  top: 0;
  height: 100vh;
  overflow-y: auto;
  padding: 1.25rem;
  border-right: 1px solid var(--line);
  background: var(--raised);
  font-size: 0.875rem;
}
nav .top { font-weight: 700; font-size: 1rem; color: var(--ink); }
nav h2 { margin: 1.25rem 0 0.25rem; font-size: 0.8125rem; }
nav h2 a { color: var(--soft); }
nav ul { list-style: none; margin: 0; padding: 0; }
nav li a { display: flex; gap: 0.5rem; align-items: baseline; padding: 0.1rem 0; color: var(--ink); }
main { padding: 1.5rem clamp(1rem, 4vw, 3.5rem) 6rem; max-width: 64rem; }
h1 { margin: 0 0 0.5rem; font-size: 1.75rem; }
main > section > h2 { margin: 3rem 0 0; font-size: 1.375rem; text-transform: capitalize; }
article { margin-top: 2rem; padding-top: 1.25rem; border-top: 1px solid var(--line); }
h3 { margin: 0 0 0.25rem; font-size: 1.125rem; }
h3 a { color: var(--ink); }
h4 { margin: 1.25rem 0 0.375rem; font-size: 0.875rem; color: var(--soft); }
p, ul { margin: 0.5rem 0; }
small { color: var(--soft); font-weight: 400; }
em { color: light-dark(#a43b00, #f0a070); font-size: 0.8125rem; font-style: normal; }
code { font: 0.875em/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
.pattern { color: var(--soft); font-size: 0.75rem; }
pre { margin: 0.5rem 0; padding: 0.75rem 1rem; overflow-x: auto; border-radius: 6px; background: var(--raised); }
table { width: 100%; border-collapse: collapse; font-size: 0.9375rem; }
td { padding: 0.375rem 0.75rem 0.375rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td:first-child { width: 34%; overflow-wrap: anywhere; }
.method {
  flex: none;
  width: 3.5rem;
  font: 700 0.6875rem/1.6 ui-monospace, monospace;
  color: var(--soft);
}
main .method { font-size: 0.8125rem; }
.get { color: light-dark(#0b6b46, #66cfa0); }
.post, .put, .patch { color: light-dark(#0b5cad, #7db7f5); }
.delete { color: light-dark(#b3261e, #f2938c); }
@media (max-width: 52rem) {
  body { display: block; }
  nav { position: static; height: auto; max-height: 40vh; border-right: 0; border-bottom: 1px solid var(--line); }
}
`
