// A page that fails takes no other with it, and says what can be done.

import { Component, type ReactNode } from "react";
import { Outlet, useLocation } from "react-router";
import { Failure } from "@/ui/empty";

type Props = { children: ReactNode; place: string };

class Boundary extends Component<Props, { error: Error | undefined }> {
  override state: { error: Error | undefined } = { error: undefined };

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  override componentDidUpdate(before: Props) {
    if (before.place !== this.props.place && this.state.error) this.setState({ error: undefined });
  }

  override render() {
    const { error } = this.state;
    if (!error) return this.props.children;
    const shown = new Error(
      `This page failed: ${error.message}\nReload it; if it fails again, report what it says.`,
    );
    return <Failure error={shown} retry={() => location.reload()} />;
  }
}

export function PageBoundary() {
  const { pathname } = useLocation();
  return (
    <Boundary place={pathname}>
      <Outlet />
    </Boundary>
  );
}
