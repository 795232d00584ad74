"""How the report looks: one style sheet for desktop, phone and print, light and dark."""

STYLESHEET = """
:root{color-scheme:light dark;--paper:#f7f7f4;--card:#fff;--ink:#1b1e23;--soft:#565d68;--line:#d9dce1;--grid:#e3e5e9;
--first:#2563a8;--second:#c9d5e3;--edge:#7d93ad;--good:#1a7a48;--bad:#b3261e;--limit:#1b1e23;
--sub:#7a4b00;--sub-bg:#fdf0d3;--del:#96211a;--del-bg:#fde6e3;--ins:#3d3a9e;--ins-bg:#e8e8fb}
@media(prefers-color-scheme:dark){:root{--paper:#121519;--card:#1a1e24;--ink:#e7e9ec;--soft:#a5adb9;--line:#303740;
--grid:#2b3139;--first:#69a8ea;--second:#3a4a5e;--edge:#8fa5bf;--good:#5cc58d;--bad:#ff8d80;--limit:#e7e9ec;
--sub:#f0c26b;--sub-bg:#3a2e14;--del:#ff9f94;--del-bg:#40201d;--ins:#b7b6ff;--ins-bg:#29294f}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",
"DejaVu Sans",sans-serif;overflow-wrap:anywhere}
header,main,footer{max-width:1080px;margin:0 auto;padding:0 20px}
header{padding-top:28px}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 .3rem}
h2{font-size:1.25rem;margin:2.4rem 0 .8rem;padding-bottom:.3rem;border-bottom:2px solid var(--line)}
h3{font-size:1rem;margin:0}
p{margin:.3rem 0}
a{color:var(--first)}
code{font:.9em ui-monospace,"SFMono-Regular",Menlo,Consolas,"DejaVu Sans Mono",monospace}
.soft,figcaption p,.case .facts,footer{color:var(--soft)}
figcaption p,.case .facts,footer,.legend{font-size:.875rem}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;padding:0;margin:.8rem 0 0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:1.3rem 0 0;padding:0}
.tiles div,figure,.case,.plain{background:var(--card);border:1px solid var(--line);border-radius:10px}
.tiles div{padding:12px 14px;display:flex;flex-direction:column}
.tiles dt{font-size:.875rem;color:var(--soft)}
.tiles dd{margin:0}
.tiles .value{font-size:1.6rem;line-height:1.25;font-weight:650;font-variant-numeric:tabular-nums}
.tiles .below{font-size:.8125rem;color:var(--soft)}
.good-text{color:var(--good)}.bad-text{color:var(--bad)}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:16px}
.grid>:last-child:nth-child(odd){grid-column:1/-1}
.grid+figure{margin-top:16px}
figure{margin:0;padding:16px;min-width:0}figure ul{margin:0;padding-left:1.2rem}
figcaption{margin-bottom:10px}
svg{display:block;width:100%;height:auto;max-width:470px;margin:0 auto}
svg text{font-size:12px;fill:var(--ink)}
svg .axis{fill:var(--soft);font-size:11px}
svg .strong{font-weight:600}
.first{fill:var(--first);background:var(--first)}
.second{fill:var(--second);background:var(--second);stroke:var(--edge);stroke-width:1;stroke-dasharray:3 2}
.good{fill:var(--good);background:var(--good)}
.bad{fill:var(--bad);background:var(--bad)}
.rule{stroke:var(--grid);stroke-width:1}
.limit{stroke:var(--limit);stroke-width:2;background:var(--limit)}
.diagonal{stroke:var(--limit);stroke-width:1.5;stroke-dasharray:5 4}
.interval{stroke:var(--soft);stroke-width:1.6}
.path{fill:none;stroke:var(--first);stroke-width:2}
.point{fill:var(--first)}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1rem;margin:.5rem 0 0;color:var(--soft)}
.legend span{display:inline-flex;align-items:center;gap:.4rem}
.key{display:inline-block;width:12px;height:12px;border-radius:2px}
.key.second{border:1px dashed var(--edge)}
.key.diagonal{width:18px;height:0;border-top:2px dashed var(--limit);border-radius:0}
.key.limit{width:3px;height:14px}.key.good,.key.bad{border-radius:50%}
details{margin-top:10px}
summary{cursor:pointer;font-size:.875rem;color:var(--soft)}
.scroll{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;width:100%;font-size:.875rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.35rem .7rem .35rem 0;border-bottom:1px solid var(--line);vertical-align:top;
font-weight:400;
overflow-wrap:break-word}
thead th{color:var(--soft);white-space:nowrap}
.plain,.todo.plain{padding:6px 16px}
.todo{margin:0;padding:0;list-style:none}
.todo li{padding:.5rem 0 .5rem 1.5rem;position:relative;border-bottom:1px solid var(--line)}
.todo>li:last-child{border-bottom:0}
.todo>li::before{content:"";position:absolute;left:.15rem;top:.98rem;width:.6rem;height:.6rem;
border:2px solid var(--first);
border-radius:3px}
.todo ul{margin:.3rem 0 0;padding-left:1.1rem}
.todo ul li{padding:.1rem 0;border:0}
.reasons td:nth-child(2){font-weight:650}
.case{padding:14px 16px;margin:0 0 12px;list-style:none}
.case header,.case h3{padding:0;margin:0;display:flex;flex-wrap:wrap;gap:.15rem .7rem;align-items:baseline}
.case h3 span{font-weight:400;color:var(--soft);font-size:.875rem}
ol.cases{padding:0;margin:1rem 0 0}
.diff{font-size:1.0625rem;line-height:1.95;margin:.35rem 0}
.diff del,.diff ins{border-radius:4px;padding:.08em .3em;text-decoration-thickness:1.5px}
.sub{border:1px solid var(--sub);border-radius:5px;padding:.08em .2em;color:var(--sub);background:var(--sub-bg)}
.sub del{text-decoration:none}.sub ins{text-decoration:none;font-weight:650}
.sub del,.sub ins{padding:.08em .1em}
.gone{color:var(--del);background:var(--del-bg);text-decoration:line-through}
.extra{color:var(--ins);background:var(--ins-bg);text-decoration:underline;font-weight:650}
.gone i,.extra i{display:inline-block;font-style:normal;font-weight:650;margin-right:.1em}
audio{display:block;width:100%;max-width:420px;height:40px;margin:.4rem 0}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
footer{margin-top:2.4rem;padding-bottom:2rem;border-top:1px solid var(--line);padding-top:1rem}
:focus-visible{outline:3px solid var(--first);outline-offset:2px}
@media(max-width:600px){header,main,footer{padding-left:14px;padding-right:14px}h1{font-size:1.45rem}
.tiles{grid-template-columns:1fr 1fr;gap:8px}.tiles .value{font-size:1.35rem}figure{padding:12px}
th,td{padding-right:.45rem}
.reasons,.reasons tbody,.reasons tr,.reasons th,.reasons td{display:block;border:0;padding:0}
.reasons thead{display:none}.reasons tr{padding:.55rem 0;border-bottom:1px solid var(--line)}
.reasons th,.reasons td:nth-child(2){display:inline}.reasons td:nth-child(2)::before{content:" · "}}
@media print{:root{--paper:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#bbb;--grid:#ddd;--first:#2563a8;
--second:#dde5ee;
--edge:#7d93ad;--good:#1a7a48;--bad:#b3261e;--limit:#000;--sub:#7a4b00;--sub-bg:#fff;--del:#96211a;--del-bg:#fff;
--ins:#3d3a9e;--ins-bg:#fff;color-scheme:light}
body{font-size:10.5pt}nav,audio,summary{display:none}header,main,footer{max-width:none;padding-left:0;padding-right:0}
.grid{grid-template-columns:1fr 1fr}.tiles{grid-template-columns:repeat(3,1fr)}
figure,.case,.tiles div,tr,.todo li{break-inside:avoid}h2,h3{break-after:avoid}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""
"""CSS, with nothing from outside."""
