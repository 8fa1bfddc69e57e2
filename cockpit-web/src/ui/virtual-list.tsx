// A list that draws only the rows in sight.

import { useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useEffect, useRef } from "react";

type Props<T> = {
  label: string;
  items: readonly T[];
  keyOf: (item: T) => string | number;
  rowHeight: number;
  children: (item: T) => ReactNode;
  className?: string;
  /** Stays at the end while items are added there, as long as the reader is at the end. */
  follow?: boolean;
};

export function VirtualList<T>({
  label,
  items,
  keyOf,
  rowHeight,
  children,
  className = "",
  follow = false,
}: Props<T>) {
  const scroller = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  const virtual = useVirtualizer({
    count: items.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 12,
    getItemKey: (index) => {
      const item = items[index];
      return item === undefined ? index : keyOf(item);
    },
    initialRect: { width: 800, height: 600 },
  });
  const count = items.length;
  useEffect(() => {
    if (follow && atEnd.current && count > 0) virtual.scrollToIndex(count - 1, { align: "end" });
  }, [follow, count, virtual]);
  return (
    <div
      ref={scroller}
      role="list"
      aria-label={label}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable from the keyboard
      tabIndex={0}
      onScroll={(event) => {
        const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
        atEnd.current = scrollHeight - scrollTop - clientHeight < rowHeight * 2;
      }}
      className={`scroll-thin min-h-0 overflow-auto ${className}`}
    >
      <div role="presentation" className="relative w-full" style={{ height: virtual.getTotalSize() }}>
        {virtual.getVirtualItems().map((row) => {
          const item = items[row.index];
          if (item === undefined) return null;
          return (
            <div
              key={row.key}
              role="listitem"
              aria-setsize={items.length}
              aria-posinset={row.index + 1}
              data-index={row.index}
              ref={virtual.measureElement}
              className="absolute top-0 left-0 w-full"
              style={{ transform: `translateY(${row.start}px)` }}
            >
              {children(item)}
            </div>
          );
        })}
      </div>
    </div>
  );
}
