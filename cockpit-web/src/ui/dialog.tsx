// The browser's own modal dialog: it traps focus, closes on Escape and gives focus back.

import { type ReactNode, useEffect, useId, useRef } from "react";
import { Action } from "./action";
import type { IconName } from "./icon";

type DialogProps = { title: string; onClose: () => void; children: ReactNode; wide?: boolean };

export function Dialog({ title, onClose, children, wide = false }: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={ref}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      className={`m-auto max-h-[90dvh] w-[calc(100vw-2rem)] ${wide ? "max-w-3xl" : "max-w-lg"} overflow-auto rounded-xl border border-line-strong bg-panel p-0 text-ink shadow-2xl`}
    >
      <div className="flex items-center gap-3 border-b px-4 py-2.5">
        <h2 id={id} className="font-semibold text-lg">
          {title}
        </h2>
        <div className="ml-auto">
          <Action look="ghost" icon="cross" bare onClick={onClose}>
            Close
          </Action>
        </div>
      </div>
      <div className="p-4">{children}</div>
    </dialog>
  );
}

type ConfirmProps = {
  title: string;
  /** What will happen, in words. */
  consequence: ReactNode;
  verb: string;
  icon?: IconName;
  danger?: boolean;
  busy?: boolean;
  blocked?: string | null | undefined;
  error?: Error | null;
  onConfirm: () => void;
  onClose: () => void;
};

export function Confirm(props: ConfirmProps) {
  const {
    title,
    consequence,
    verb,
    icon,
    danger = false,
    busy = false,
    blocked,
    error,
    onConfirm,
    onClose,
  } = props;
  return (
    <Dialog title={title} onClose={onClose}>
      <div className="space-y-3 text-sm">{consequence}</div>
      {error && (
        <p role="alert" className="mt-3 break-words rounded-md bg-bad-tint p-2.5 text-bad text-sm">
          {error.message}
        </p>
      )}
      <div className="mt-5 flex flex-wrap justify-end gap-2">
        <Action onClick={onClose}>Cancel</Action>
        <Action
          look={danger ? "danger" : "primary"}
          icon={icon}
          busy={busy}
          blocked={blocked}
          onClick={onConfirm}
        >
          {verb}
        </Action>
      </div>
    </Dialog>
  );
}
