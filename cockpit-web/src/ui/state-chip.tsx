// A state: icon, word and colour together.

import { Icon, type IconName } from "./icon";
import { TONE_CHIP, TONE_ICON, TONE_TEXT, type Tone } from "./tone";

type Props = { tone: Tone; word: string; icon?: IconName; plain?: boolean; busy?: boolean; title?: string };

export function StateChip({ tone, word, icon, plain = false, busy = false, title }: Props) {
  const look = plain
    ? TONE_TEXT[tone]
    : `${TONE_CHIP[tone]} rounded-full px-2 py-0.5 ring-1 ring-inset ring-current/15`;
  return (
    <span
      title={title}
      className={`inline-flex max-w-full items-center gap-1 whitespace-nowrap font-medium text-xs ${look}`}
    >
      <Icon
        name={icon ?? TONE_ICON[tone]}
        className={`size-3 ${busy ? "animate-spin motion-reduce:animate-none" : ""}`}
      />
      <span className="truncate">{word}</span>
    </span>
  );
}
