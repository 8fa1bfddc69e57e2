// The text editor: CodeMirror, in a shadow tree, where it may bring its styles although the page's policy allows no
// inline ones. Loaded when a manifest is opened.

import { autocompletion, closeBrackets, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import {
  bracketMatching,
  HighlightStyle,
  indentOnInput,
  indentUnit,
  syntaxHighlighting,
} from "@codemirror/language";
import { type Diagnostic, lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { EditorState } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useRef } from "react";
import { completer } from "./completion";
import type { Problem } from "./document";
import type { Schemas } from "./schema";

const colors = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--color-accent)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--color-ok)" },
  { tag: [tags.number, tags.bool, tags.null, tags.keyword], color: "var(--color-warn)" },
  { tag: tags.comment, color: "var(--color-faint)", fontStyle: "italic" },
  { tag: tags.punctuation, color: "var(--color-faint)" },
]);

const look = EditorView.theme({
  "&": {
    height: "100%",
    fontSize: "0.8125rem",
    backgroundColor: "var(--color-panel)",
    color: "var(--color-ink)",
  },
  "&.cm-focused": { outline: "2px solid var(--color-accent)", outlineOffset: "-2px" },
  ".cm-scroller": { fontFamily: "var(--font-mono)", lineHeight: "1.55", overflow: "auto" },
  ".cm-content": { caretColor: "var(--color-ink)", padding: "0.5rem 0" },
  ".cm-gutters": { backgroundColor: "var(--color-sunken)", color: "var(--color-faint)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--color-hover)" },
  ".cm-cursor": { borderLeftColor: "var(--color-ink)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "var(--color-accent-tint)",
  },
  ".cm-tooltip, .cm-panels": {
    backgroundColor: "var(--color-raised)",
    color: "var(--color-ink)",
    border: "1px solid var(--color-line-strong)",
  },
  ".cm-tooltip-autocomplete > ul > li[aria-selected]": {
    backgroundColor: "var(--color-accent-fill)",
    color: "var(--color-on-accent)",
  },
  ".cm-completionDetail": { color: "var(--color-faint)", fontStyle: "normal", marginLeft: "0.75em" },
  ".cm-completionInfo": { maxWidth: "22rem", padding: "0.4rem 0.6rem", fontFamily: "var(--font-sans)" },
  // Without the pictures that the linter brings: they are data: URLs.
  ".cm-lint-marker-error": { content: '"●"', color: "var(--color-bad)", textAlign: "center" },
  ".cm-lintRange-error": {
    backgroundImage: "none",
    textDecoration: "underline wavy var(--color-bad)",
    textUnderlineOffset: "0.2em",
  },
  ".cm-diagnostic": { fontFamily: "var(--font-sans)" },
});

type Props = {
  label: string;
  text: string;
  readOnly?: boolean;
  problems: readonly Problem[];
  schemas: Schemas | undefined;
  onChange: (text: string) => void;
};

export default function Editor({ label, text, readOnly = false, problems, schemas, onChange }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(undefined);
  /** Texts that this editor has reported and that have not come back yet. */
  const own = useRef<string[]>([]);
  const placing = useRef(false);
  const latest = useRef({ schemas, onChange, text });
  latest.current = { schemas, onChange, text };
  useEffect(() => {
    const { current } = host;
    if (!current) return;
    const root = current.shadowRoot ?? current.attachShadow({ mode: "open" });
    const editor = new EditorView({
      parent: root,
      root,
      state: EditorState.create({
        doc: latest.current.text,
        extensions: [
          lineNumbers(),
          history(),
          drawSelection(),
          indentOnInput(),
          indentUnit.of("  "),
          bracketMatching(),
          closeBrackets(),
          highlightActiveLine(),
          highlightSelectionMatches(),
          lintGutter(),
          yaml(),
          syntaxHighlighting(colors),
          autocompletion({ override: [completer(() => latest.current.schemas)] }),
          keymap.of([
            ...defaultKeymap,
            ...historyKeymap,
            ...completionKeymap,
            ...lintKeymap,
            ...searchKeymap,
          ]),
          EditorState.readOnly.of(readOnly),
          EditorView.contentAttributes.of({ "aria-label": label, spellcheck: "false", tabindex: "0" }),
          EditorView.updateListener.of((update) => {
            if (!update.docChanged || placing.current) return;
            const written = update.state.doc.toString();
            own.current.push(written);
            latest.current.onChange(written);
          }),
          look,
        ],
      }),
    });
    view.current = editor;
    return () => {
      view.current = undefined;
      editor.destroy();
    };
  }, [label, readOnly]);
  useEffect(() => {
    const editor = view.current;
    const echo = own.current.indexOf(text);
    if (echo >= 0) {
      // It came from here, and more may have been written since: that must not be undone.
      own.current.splice(0, echo + 1);
      return;
    }
    if (!editor || editor.state.doc.toString() === text) return;
    own.current = [];
    placing.current = true;
    editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: text } });
    placing.current = false;
  }, [text]);
  useEffect(() => {
    const editor = view.current;
    if (!editor) return;
    const { length } = editor.state.doc;
    const diagnostics = problems.map(({ from, to, message }): Diagnostic => {
      const start = Math.min(from, length);
      return { from: start, to: Math.max(start, Math.min(to, length)), severity: "error", message };
    });
    editor.dispatch(
      setDiagnostics(
        editor.state,
        diagnostics.sort((a, b) => a.from - b.from),
      ),
    );
  }, [problems]);
  return <div ref={host} className="h-full min-h-72" />;
}
