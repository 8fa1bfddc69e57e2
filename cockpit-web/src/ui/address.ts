// What a page shows, as its address says it: a field a word, so that a link leads to the same.

import { useCallback } from "react";
import { useSearchParams } from "react-router";

/** The fields, and how one is set; an empty value takes it out. */
export function useAddress(): [URLSearchParams, (name: string, value: string) => void] {
  const [fields, setFields] = useSearchParams();
  const set = useCallback(
    (name: string, value: string) =>
      setFields(
        (before) => {
          const after = new URLSearchParams(before);
          if (value) after.set(name, value);
          else after.delete(name);
          return after;
        },
        { replace: true },
      ),
    [setFields],
  );
  return [fields, set];
}
