// Package support gives a scenario a real server, the official SDK connected to it, and ways to wait.
package support

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"
)

const (
	readyWithin = 30 * time.Second
	stopWithin  = 15 * time.Second
	helloRPC    = "/TaskHubSidecarService/Hello"
)

// Server is one `longhaul dev` process on loopback and the directory it keeps its data in.
type Server struct {
	Address string

	directory string
	port      int
	process   *exec.Cmd
	ended     chan struct{}
}

// StartServer starts a server for this scenario and takes it away afterwards.
// A server that did not survive the scenario fails it.
func StartServer(t testing.TB) *Server {
	t.Helper()
	port := freePort(t)
	server := &Server{Address: fmt.Sprintf("127.0.0.1:%d", port), directory: t.TempDir(), port: port}
	server.Start(t)
	t.Cleanup(func() {
		select {
		case <-server.ended:
			t.Errorf("the server did not survive the scenario:\n%s", server.logTail())
		default:
			server.stop(t)
		}
	})
	return server
}

// Start starts the process on the data and the port it had before, and returns once it answers.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(s.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.process = exec.Command(binary(t), "dev", "--data", filepath.Join(s.directory, "data"),
		"--port", strconv.Itoa(s.port), "--dashboard-port", "0")
	s.process.Stdout, s.process.Stderr = log, log
	// Whatever becomes of the test program, its server does not outlive it.
	s.process.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	s.ended = ended
	go func(process *exec.Cmd) {
		_ = process.Wait()
		close(ended)
	}(s.process)
	s.waitReady(t)
}

// Kill ends the process with SIGKILL: nothing is flushed, nobody is told.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if err := s.process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.ended
}

func (s *Server) stop(t testing.TB) {
	_ = s.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(stopWithin):
		t.Errorf("the server did not stop within %s", stopWithin)
		s.Kill(t)
	}
}

func (s *Server) waitReady(t testing.TB) {
	t.Helper()
	connection, err := grpc.Dial(s.Address, grpc.WithTransportCredentials(insecure.NewCredentials()), quickReconnect)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	go func() {
		select {
		case <-s.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	err = connection.Invoke(ctx, helloRPC, &emptypb.Empty{}, &emptypb.Empty{}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatalf("the server does not answer: %v\n%s", err, s.logTail())
	}
}

func (s *Server) logPath() string { return filepath.Join(s.directory, "server.log") }

func (s *Server) logTail() string {
	text, err := os.ReadFile(s.logPath())
	if err != nil {
		return "(no log)"
	}
	return string(text[max(0, len(text)-4000):])
}

// binary is LONGHAUL_BIN, else this checkout's release or debug build.
func binary(t testing.TB) string {
	t.Helper()
	candidates := []string{os.Getenv("LONGHAUL_BIN")}
	if candidates[0] == "" {
		_, here, _, _ := runtime.Caller(0)
		target := os.Getenv("CARGO_TARGET_DIR")
		if target == "" {
			target = filepath.Join(filepath.Dir(here), "..", "..", "..", "..", "target")
		}
		candidates = []string{filepath.Join(target, "release", "longhaul"), filepath.Join(target, "debug", "longhaul")}
	}
	for _, candidate := range candidates {
		if _, err := os.Stat(candidate); err == nil {
			return candidate
		}
	}
	t.Fatalf("no server binary at %s; build it or set LONGHAUL_BIN", strings.Join(candidates, " or "))
	return ""
}

// freePort finds a loopback port below the range outgoing connections take theirs from: while the server is down
// between two starts, a client that keeps reconnecting could otherwise be given the very port it looks for.
func freePort(t testing.TB) int {
	t.Helper()
	const lowest = 10_240
	firstEphemeral := 32_768
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		if first, err := strconv.Atoi(strings.Fields(string(text))[0]); err == nil && first > lowest {
			firstEphemeral = first
		}
	}
	var last error
	for range 200 {
		port := lowest + rand.IntN(firstEphemeral-lowest)
		probe, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			err = probe.Close()
		}
		if err == nil {
			return port
		}
		last = err
	}
	t.Fatal(errors.Join(errors.New("no free loopback port found"), last))
	return 0
}
