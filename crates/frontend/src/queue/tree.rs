//! The queues of one tenant: its own, and those of its actors.

use std::collections::VecDeque;
use std::sync::Arc;

/// Items of one actor and, below it, of the actors it consists of.
pub(super) struct Tree<T> {
    own: VecDeque<T>,
    /// Actors with items, in the order of their turns; the first goes next.
    children: VecDeque<(Arc<str>, Tree<T>)>,
    /// Whether the own queue goes before the children.
    own_is_next: bool,
    /// Turns of children since the own queue's.
    turns: usize,
    len: usize,
}

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Self {
            own: VecDeque::new(),
            children: VecDeque::new(),
            own_is_next: true,
            turns: 0,
            len: 0,
        }
    }
}

impl<T> Tree<T> {
    /// Items here and below.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, actor: &[String], item: T, in_front: bool) {
        self.len += 1;
        let Some((name, rest)) = actor.split_first() else {
            if in_front {
                self.own.push_front(item);
            } else {
                self.own.push_back(item);
            }
            return;
        };
        match self.children.iter_mut().find(|(known, _)| **known == **name) {
            Some((_, child)) => child.push(rest, item, in_front),
            None => {
                let mut child = Self::default();
                child.push(rest, item, in_front);
                self.children.push_back((Arc::from(name.as_str()), child));
            }
        }
    }

    /// The next item: the own queue and each child have turns.
    pub(super) fn pop(&mut self) -> Option<T> {
        let item = if (self.own_is_next || self.children.is_empty()) && !self.own.is_empty() {
            self.own_is_next = false;
            self.turns = 0;
            self.own.pop_front()
        } else {
            let (name, mut child) = self.children.pop_front()?;
            let item = child.pop();
            if child.len > 0 {
                self.children.push_back((name, child));
            }
            self.turns += 1;
            // Everybody had a turn: the own queue is next.
            self.own_is_next = self.turns >= self.children.len();
            item
        };
        self.len -= usize::from(item.is_some());
        item
    }

    /// Takes out the first item of an actor that `is` accepts.
    pub(super) fn remove(&mut self, actor: &[String], is: impl Fn(&T) -> bool) -> Option<T> {
        let item = match actor.split_first() {
            None => {
                let at = self.own.iter().position(is)?;
                self.own.remove(at)
            }
            Some((name, rest)) => {
                let at = self.children.iter().position(|(known, _)| **known == **name)?;
                let item = self.children[at].1.remove(rest, is);
                if self.children[at].1.len == 0 {
                    self.children.remove(at);
                }
                item
            }
        };
        self.len -= usize::from(item.is_some());
        item
    }
}
