import { type ReactNode, useId } from "react";

type Props = {
  title: ReactNode;
  note?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
  className?: string;
  flush?: boolean;
};

/** A titled region. `flush`: its content reaches the edges. */
export function Panel({ title, note, actions, children, className = "", flush = false }: Props) {
  const id = useId();
  return (
    <section
      aria-labelledby={id}
      className={`flex min-w-0 flex-col rounded-lg border bg-panel shadow-[0_1px_2px_rgb(0_0_0/0.04)] ${className}`}
    >
      <header className="flex min-h-10 flex-wrap items-center gap-x-3 gap-y-1 border-b px-4 py-1.5">
        <h2 id={id} className="font-semibold text-sm">
          {title}
        </h2>
        {note && <div className="min-w-0 text-faint text-xs">{note}</div>}
        {actions && <div className="ml-auto flex flex-wrap items-center gap-2">{actions}</div>}
      </header>
      <div className={`min-h-0 min-w-0 flex-1 ${flush ? "" : "p-4"}`}>{children}</div>
    </section>
  );
}

type PageProps = {
  title: ReactNode;
  note?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
  /** The page fills the screen and scrolls inside. */
  fill?: boolean;
};

export function Page({ title, note, actions, children, fill = false }: PageProps) {
  return (
    <div
      className={`mx-auto flex w-full max-w-[160rem] flex-col gap-4 p-4 sm:p-5 ${fill ? "h-full min-h-0" : ""}`}
    >
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
        <div className="min-w-0">
          <h1 className="break-words font-semibold text-xl tracking-tight">{title}</h1>
          {note && <div className="text-faint text-sm">{note}</div>}
        </div>
        {actions && <div className="flex flex-wrap items-center gap-2 sm:ml-auto">{actions}</div>}
      </div>
      {children}
    </div>
  );
}
