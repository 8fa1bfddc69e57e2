import { type InputHTMLAttributes, type ReactNode, type SelectHTMLAttributes, useId } from "react";
import { Icon } from "./icon";

const BOX =
  "h-8 rounded-md border border-line-strong bg-raised px-2.5 text-sm text-ink hover:border-faint focus-visible:outline-offset-0";

export function Field({
  label,
  hint,
  children,
}: {
  label: string;
  hint?: ReactNode;
  children: (id: string) => ReactNode;
}) {
  const id = useId();
  return (
    <div className="space-y-1">
      <label htmlFor={id} className="block font-medium text-soft text-xs">
        {label}
      </label>
      {children(id)}
      {hint && <p className="text-faint text-xs">{hint}</p>}
    </div>
  );
}

export function TextInput(props: InputHTMLAttributes<HTMLInputElement>) {
  return <input {...props} className={`${BOX} w-full ${props.className ?? ""}`} />;
}

export function Select(props: SelectHTMLAttributes<HTMLSelectElement>) {
  return <select {...props} className={`${BOX} pr-7 ${props.className ?? "w-full"}`} />;
}

type SearchProps = { label: string; value: string; onChange: (text: string) => void; placeholder?: string };

/** The page's search box: `/` puts the cursor into it. */
export function SearchBox({ label, value, onChange, placeholder = "Filter" }: SearchProps) {
  return (
    <div className="relative min-w-0 flex-1 sm:w-64 sm:flex-none">
      <Icon name="search" className="pointer-events-none absolute top-2 left-2.5 size-4 text-faint" />
      <input
        type="search"
        data-search
        aria-label={label}
        value={value}
        placeholder={placeholder}
        onChange={(event) => onChange(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") event.currentTarget.blur();
        }}
        className={`${BOX} w-full pr-8 pl-8`}
      />
      {!value && (
        <kbd className="pointer-events-none absolute top-1.5 right-2 hidden rounded border px-1.5 font-mono text-2xs text-faint sm:block">
          /
        </kbd>
      )}
    </div>
  );
}
