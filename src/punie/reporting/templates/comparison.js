// The page of a comparison.

function arm(found) {
  const box = make("div", "arm");
  box.append(part(found.title, "", answer(found, found.status)));
  if (found.scores?.length) box.append(card("", found.scores.map(judged)));
  box.append(facts(found.facts));
  return box;
}

function sheet(found) {
  const box = make("div", "sheet");
  box.append(...asked(found), part("Expected", "whole", expectation(found)));
  box.append(...found.arms.map(arm), facts([["", found.traits]]));
  return box;
}
